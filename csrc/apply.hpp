// y[b,o] = Σ_i v[b,i] φ_io⁽ⁿ⁾(x[b,i]) + Σ_i e[b,i] w[i,o].
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
// sample], the first of the coefficient rows that they multiply, counted from the first of these inputs. `extra` holds e,
// input by input.
template <typename T>
struct BlockBasis {
  T* values;
  int* rows;
  T* extra;
  Index stride;
};

template <typename T, int D, int V, int S, bool Partial, bool Extra>
void apply_tile(const BlockBasis<T>& basis, Index inputs, Index samples, const T* c, const T* w, Index outputs,
                int tail, T* y, bool first) {
  using Tile = Row<T, V, Partial>;
  for (Index s = 0; s + S <= samples; s += S) {
    Tile sums[S];
    for (int t = 0; t < S; ++t) sums[t] = first ? Tile{} : Tile::load(y + (s + t) * outputs, tail);
    for (Index i = 0; i < inputs; ++i) {
      const T* values = basis.values + i * (D + 1) * basis.stride + s;
      const int* rows = basis.rows + i * basis.stride + s;
      for (int t = 0; t < S; ++t) {
        const T* row = c + rows[t] * outputs;
        for (int r = 0; r <= D; ++r) sums[t].add(values[r * basis.stride + t], Tile::load(row + r * outputs, tail));
        if constexpr (Extra) sums[t].add(basis.extra[i * basis.stride + s + t], Tile::load(w + i * outputs, tail));
      }
    }
    for (int t = 0; t < S; ++t) sums[t].store(y + (s + t) * outputs, tail);
  }
  if (S > 1 && samples % S != 0) {
    const Index done = samples / S * S;
    const BlockBasis<T> rest{basis.values + done, basis.rows + done, basis.extra + done, basis.stride};
    apply_tile<T, D, V, 1, Partial, Extra>(rest, inputs, samples - done, c, w, outputs, tail, y + done * outputs,
                                           first);
  }
}

template <typename T, int D, bool Extra>
void apply_all_outputs(const BlockBasis<T>& basis, Index inputs, Index samples, const T* c, const T* w, Index outputs,
                       T* y, bool first) {
  constexpr Index tile = kWidest * kLanes<T>;
  Index o = 0;
  for (; o + tile <= outputs; o += tile) {
    apply_tile<T, D, kWidest, 1, false, Extra>(basis, inputs, samples, c + o, w + o, outputs, 0, y + o, first);
  }
  for (; o < outputs; o += kLanes<T>) {
    const int lanes = static_cast<int>(least(kLanes<T>, outputs - o));
    apply_tile<T, D, 1, kWidest, true, Extra>(basis, inputs, samples, c + o, w + o, outputs, lanes, y + o, first);
  }
}

template <typename T, int D, bool Extra>
bool apply_given(const Call& call, const T* points, const T* x, const T* c, const T* v, const T* e, const T* w, T* y) {
  const Index outputs = call.outputs, functions = call.functions();
  const Index block = most(kFewestSamples, least(kMostSamples, parts(call.batch, 2 * call.threads)));
  const Index blocks = parts(call.batch, block);
  const Index group = parts(call.inputs, parts(call.inputs, kInputs));
  const int threads = threads_for(call, blocks);
  const Index own = Scratch::bytes<T>(group * (D + 1) * block) + Scratch::bytes<int>(group * block) +
                    Scratch::bytes<T>(group * block) + 4 * Scratch::bytes<T>(block);
  Arena arena(Splines<T, D>::bytes(call) + threads * own);
  if (arena.failed()) return false;
  const Splines<T, D> splines(call, points, call.order, arena);
  char* scratch = arena.take<char>(threads * own);

  parallel(threads, [&](int thread, int of) {
    Scratch mine(scratch + thread * own);
    const BlockBasis<T> basis{mine.take<T>(group * (D + 1) * block), mine.take<int>(group * block),
                              mine.take<T>(group * block), block};
    T *column = mine.take<T>(block), *u = mine.take<T>(block), *beyond = mine.take<T>(block);
    T* weights = mine.take<T>(block);
    const Share share(blocks, of, thread);
    for (Index number = share.begin; number < share.end; ++number) {
      const Index start = number * block, samples = least(block, call.batch - start);
      for (Index low = 0; low < call.inputs; low += group) {
        const Index inputs = least(group, call.inputs - low);
        for (Index i = 0; i < inputs; ++i) {
          const Index corner = start * call.inputs + low + i;
          copy_column(x + corner, call.inputs, samples, column);
          if (v != nullptr) copy_column(v + corner, call.inputs, samples, weights);
          if (Extra) copy_column(e + corner, call.inputs, samples, basis.extra + i * block);
          int* rows = basis.rows + i * block;
          splines.place(low + i, samples, column, rows, u, beyond);
          splines.evaluate_each(low + i, samples, rows, u, beyond, v == nullptr ? nullptr : weights,
                                basis.values + i * (D + 1) * block, block);
          for (Index s = 0; s < samples; ++s) rows[s] += static_cast<int>(i * functions);
        }
        apply_all_outputs<T, D, Extra>(basis, inputs, samples, c + low * functions * outputs,
                                       Extra ? w + low * outputs : c, outputs, y + start * outputs, low == 0);
      }
    }
  });
  return true;
}

template <typename T, int D>
bool apply(const Call& call, const T* points, const T* x, const T* c, const T* v, const T* e, const T* w, T* y) {
  return e == nullptr ? apply_given<T, D, false>(call, points, x, c, v, e, w, y)
                      : apply_given<T, D, true>(call, points, x, c, v, e, w, y);
}

}  // namespace
}  // namespace edgewise
