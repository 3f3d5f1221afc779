// y[b,o] = Σ_i v[b,i] φ_io⁽ⁿ⁾(x[b,i]).
//
// Threads share out blocks of samples. Within one, the basis values of a few inputs are computed first; then tiles of
// samples × outputs stay in registers while those inputs are added up. What is left is one broadcast basis value times
// a contiguous row of coefficients at a time.
#pragma once

#include "spline.hpp"

namespace edgewise {
namespace {

constexpr Index kFewestSamples = 32, kMostSamples = 256;  // in a block
constexpr Index kInputs = 4;  // whose coefficients stay in the first cache while a block is done
constexpr int kWidest = 4;    // vectors of outputs in a tile

// The basis of a few inputs at a block of samples: values[(input·(D + 1) + r)·stride + sample], and rows[input·stride +
// sample], the first of the coefficient rows that they multiply, counted from the first of these inputs.
template <typename T>
struct BlockBasis {
  T* values;
  int* rows;
  Index stride;
};

template <typename T, int D, int V, int S, bool Partial>
void apply_tile(const BlockBasis<T>& basis, Index inputs, Index samples, const T* c, Index outputs, int tail, T* y,
                bool first) {
  for (Index s = 0; s + S <= samples; s += S) {
    Row<T, V, Partial> sums[S];
    for (int t = 0; t < S; ++t) sums[t] = first ? Row<T, V, Partial>{} : Row<T, V, Partial>::load(y + (s + t) * outputs, tail);
    for (Index i = 0; i < inputs; ++i) {
      const T* values = basis.values + i * (D + 1) * basis.stride + s;
      const int* rows = basis.rows + i * basis.stride + s;
      for (int t = 0; t < S; ++t) {
        const T* row = c + rows[t] * outputs;
        for (int r = 0; r <= D; ++r) sums[t].add(values[r * basis.stride + t], Row<T, V, Partial>::load(row + r * outputs, tail));
      }
    }
    for (int t = 0; t < S; ++t) sums[t].store(y + (s + t) * outputs, tail);
  }
  if (S > 1 && samples % S != 0) {
    const Index done = samples / S * S;
    apply_tile<T, D, V, 1, Partial>({basis.values + done, basis.rows + done, basis.stride}, inputs, samples - done, c, outputs, tail,
                                    y + done * outputs, first);
  }
}

template <typename T, int D, int V>
void apply_last_tile(int vectors, const BlockBasis<T>& basis, Index inputs, Index samples, const T* c, Index outputs,
                     int tail, T* y, bool first) {
  if (vectors == V) {
    apply_tile<T, D, V, kWidest / V, true>(basis, inputs, samples, c, outputs, tail, y, first);
  } else if constexpr (V > 1) {
    apply_last_tile<T, D, V - 1>(vectors, basis, inputs, samples, c, outputs, tail, y, first);
  }
}

template <typename T, int D>
bool apply(const Call& call, const T* points, const T* x, const T* c, const T* v, T* y) {
  const Index outputs = call.outputs, functions = call.functions();
  const Index block = most(kFewestSamples, least(kMostSamples, parts(call.batch, 2 * call.threads)));
  const Index blocks = parts(call.batch, block);
  const Index groups = parts(call.inputs, kInputs), group = groups == 0 ? 0 : parts(call.inputs, groups);
  const int threads = threads_for(call, blocks);
  const Index own = Scratch::bytes<T>(group * (D + 1) * block) + Scratch::bytes<int>(group * block) +
                    4 * Scratch::bytes<T>(block);
  Arena arena(Splines<T, D>::bytes(call) + threads * own);
  if (arena.failed()) return false;
  const Splines<T, D> splines(call, points, call.order, arena);
  char* scratch = arena.take<char>(threads * own);

  const Index tile = kWidest * kLanes<T>;
  const Index rest = outputs % tile;
  const int rest_vectors = static_cast<int>(parts(rest, kLanes<T>));
  const int tail = static_cast<int>(rest - (rest_vectors - 1) * kLanes<T>);

  parallel(threads, [&](int thread, int of) {
    Scratch mine(scratch + thread * own);
    const BlockBasis<T> basis{mine.take<T>(group * (D + 1) * block), mine.take<int>(group * block), block};
    T *column = mine.take<T>(block), *u = mine.take<T>(block), *beyond = mine.take<T>(block);
    T* weights = mine.take<T>(block);
    const Share share(blocks, of, thread);
    for (Index number = share.begin; number < share.end; ++number) {
      const Index start = number * block, samples = least(block, call.batch - start);
      T* target = y + start * outputs;
      for (Index low = 0; low < call.inputs; low += group) {
        const Index inputs = least(group, call.inputs - low);
        for (Index i = 0; i < inputs; ++i) {
          copy_column(x + start * call.inputs + low + i, call.inputs, samples, column);
          if (v != nullptr) copy_column(v + start * call.inputs + low + i, call.inputs, samples, weights);
          int* rows = basis.rows + i * block;
          splines.place(low + i, samples, column, rows, u, beyond);
          splines.evaluate_each(low + i, samples, rows, u, beyond, v == nullptr ? nullptr : weights,
                                basis.values + i * (D + 1) * block, block);
          for (Index s = 0; s < samples; ++s) rows[s] += static_cast<int>(i * functions);
        }
        const T* coefficients = c + low * functions * outputs;
        const bool first = low == 0;
        Index o = 0;
        for (; o + tile <= outputs; o += tile) {
          apply_tile<T, D, kWidest, 1, false>(basis, inputs, samples, coefficients + o, outputs, 0, target + o, first);
        }
        if (rest > 0) {
          apply_last_tile<T, D, kWidest>(rest_vectors, basis, inputs, samples, coefficients + o, outputs, tail, target + o, first);
        }
      }
    }
  });
  return true;
}

}  // namespace
}  // namespace edgewise
