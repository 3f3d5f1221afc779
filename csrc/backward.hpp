// The two contractions that go backward, in one pass over the samples:
//
//     u[b,i]    = Σ_o g[b,o] φ_io⁽ⁿ⁾(x[b,i])           (pull)
//     dc[i,m,o] = Σ_b v[b,i] g[b,o] B_m⁽ⁿ⁾(x[b,i])     (gather)
//
// The samples are sorted by cell, input by input. Within a cell the D + 1 rows of coefficient gradients stay in
// registers and those of coefficients in the first cache, while each sample's row of g is read once for both results.
// An input belongs to one thread, or, where inputs are few, a fixed range of its samples does, and the ranges are added
// up in order: so no result depends on the number of threads.
#pragma once

#include "spline.hpp"

namespace edgewise {
namespace {

// What is wanted of the pass; the order of each and the outputs are those of the contractions above.
template <typename T>
struct Backward {
  int pull_order, gather_order;
  const T *points, *x, *c, *g, *v = nullptr;
  T *u = nullptr, *dc = nullptr;  // null where not wanted
};

// The samples of one cell in their sorted order.
template <typename T>
struct Run {
  const int* samples;      // their numbers within the block
  const T *pull, *gather;  // basis values: [r·stride + position]
  T* pulled;               // u
  Index count, stride;
  int pull_order;
};

template <typename T, int D, int V, bool Partial, bool Pull, bool Gather>
void run_tile(const Run<T>& run, const T* g, Index outputs, int tail, const T* c, T* dc) {
  using Tile = Row<T, V, Partial>;
  Tile gradient[D + 1];
  if constexpr (Gather) {
    for (int r = 0; r <= D; ++r) gradient[r] = Tile::load(dc + r * outputs, tail);
  }
  // The functions sum to 1 and their derivatives to 0, so one of them can be left out.
  Tile base{}, rises[D];
  if constexpr (Pull) {
    const Tile lowest = Tile::load(c, tail);
    if (run.pull_order == 0) base = lowest;
    for (int r = 1; r <= D; ++r) rises[r - 1] = Tile::load(c + r * outputs, tail) - lowest;
  }
  for (Index k = 0; k < run.count; ++k) {
    const Tile row = Tile::load(g + run.samples[k] * outputs, tail);
    if constexpr (Gather) {
      for (int r = 0; r <= D; ++r) gradient[r].add(run.gather[r * run.stride + k], row);
    }
    if constexpr (Pull) {
      Tile curve = base;
      for (int r = 1; r <= D; ++r) curve.add(run.pull[r * run.stride + k], rises[r - 1]);
      run.pulled[k] += curve.dot(row);
    }
  }
  if constexpr (Gather) {
    for (int r = 0; r <= D; ++r) gradient[r].store(dc + r * outputs, tail);
  }
}

// One pass over all samples of the inputs of a share.
template <typename T, int D, bool Pull, bool Gather>
class BackwardPass {
 public:
  // As many vectors as leave room in the registers for a row of g.
  static constexpr int kRoom = kRegisters * 5 / 8 / (D + 1);
  static constexpr int kWidth = kRoom < 1 ? 1 : kRoom > 4 ? 4 : kRoom;
  static constexpr Index kBlockBytes = 1 << 18;  // of g, which then stays in the second cache
  static constexpr Index kFewSamples = 256, kManySamples = 4096;
  static constexpr Index kFewInputs = 16;
  static constexpr Index kGroup = 16;  // inputs whose columns are copied together, to use whole cache lines

  static bool run(const Call& call, const Backward<T>& wanted) {
    const Index size = call.functions() * call.outputs, all = call.inputs * size;
    const Index block = block_size(call), ranges = range_count(call, block);
    const int threads = threads_for(call, call.inputs * ranges);
    const Index own = scratch_bytes(call, block);
    Arena arena(2 * Splines<T, D>::bytes(call) + threads * own + (Gather ? Scratch::bytes<T>((ranges - 1) * all) : 0));
    if (arena.failed()) return false;
    const Splines<T, D> pull(call, wanted.points, wanted.pull_order, arena);
    const Splines<T, D> gather(call, wanted.points, wanted.gather_order, arena);
    T* partial = Gather ? arena.take<T>((ranges - 1) * all) : nullptr;
    char* scratch = arena.take<char>(threads * own);
    const Index range = parts(parts(call.batch, block), ranges) * block;

    parallel(threads, [&](int thread, int of) {
      BackwardPass pass(call, wanted, pull, gather, block, Scratch(scratch + thread * own));
      const Share share(call.inputs * ranges, of, thread);
      for (Index number = 0; number < ranges; ++number) {
        const Index first = most(share.begin - number * call.inputs, 0);
        const Index last = least(share.end - number * call.inputs, call.inputs);
        if (first >= last) continue;
        T* dc = number == 0 ? wanted.dc : partial + (number - 1) * all;
        if constexpr (Gather) std::memset(dc + first * size, 0, (last - first) * size * sizeof(T));
        const Index end = least(call.batch, (number + 1) * range);
        for (Index start = number * range; start < end; start += block) {
          for (Index i = first; i < last; i += kGroup) {
            pass.inputs(i, least(kGroup, last - i), start, least(block, end - start), dc);
          }
        }
      }
    });
    for (Index number = 1; Gather && number < ranges; ++number) {
      const T* other = partial + (number - 1) * all;
      for (Index k = 0; k < all; ++k) wanted.dc[k] += other[k];
    }
    return true;
  }

 private:
  BackwardPass(const Call& call, const Backward<T>& wanted, const Splines<T, D>& pull, const Splines<T, D>& gather,
               Index block, Scratch scratch)
      : call_(call),
        wanted_(wanted),
        pull_(pull),
        gather_(gather),
        block_(block),
        stride_(stride_of(block)),
        columns_(scratch.take<T>(kGroup * stride_)),
        u_(scratch.take<T>(block)),
        beyond_(scratch.take<T>(block)),
        sorted_u_(scratch.take<T>(block)),
        sorted_beyond_(scratch.take<T>(block)),
        sorted_v_(scratch.take<T>(block)),
        pulled_(scratch.take<T>(block)),
        pull_values_(scratch.take<T>((D + 1) * block)),
        gather_values_(scratch.take<T>((D + 1) * block)),
        cells_(scratch.take<int>(block)),
        samples_(scratch.take<int>(block)),
        starts_(scratch.take<int>(call.grid + 1)) {}

  // Columns lie a little apart, or they would compete for the same lines of the cache.
  static Index stride_of(Index block) { return block + kLanes<T>; }

  static Index scratch_bytes(const Call& call, Index block) {
    return Scratch::bytes<T>(kGroup * stride_of(block)) + 6 * Scratch::bytes<T>(block) +
           2 * Scratch::bytes<T>((D + 1) * block) + 2 * Scratch::bytes<int>(block) + Scratch::bytes<int>(call.grid + 1);
  }

  static Index block_size(const Call& call) {
    const Index fitting = kBlockBytes / (call.outputs * static_cast<Index>(sizeof(T)));
    return least(most(call.batch, 1), most(kFewSamples, least(fitting, kManySamples)));
  }

  // Ranges of samples with coefficient gradients of their own, where there are too few inputs to share out.
  static Index range_count(const Call& call, Index block) {
    return most(1, least(kFewInputs / call.inputs, parts(call.batch, block)));
  }

  void inputs(Index first, Index number, Index start, Index count, T* dc) {
    const Index corner = start * call_.inputs + first;
    copy_columns(wanted_.x + corner, call_.inputs, count, number, columns_, stride_);
    for (Index j = 0; j < number; ++j) {
      const Index row = (first + j) * call_.functions() * call_.outputs;
      input(first + j, start, count, columns_ + j * stride_, at(wanted_.c, row), at(dc, row));
    }
    if constexpr (Pull) copy_back(columns_, stride_, count, number, wanted_.u + corner, call_.inputs);
  }

  // One input; its column of x is replaced by that of u.
  void input(Index i, Index start, Index count, T* column, const T* c, T* dc) {
    pull_.place(i, count, column, cells_, u_, beyond_);
    sort(count);
    for (Index k = 0; k < count; ++k) {
      sorted_u_[k] = u_[samples_[k]];
      sorted_beyond_[k] = beyond_[samples_[k]];
    }
    if (wanted_.v != nullptr) {
      const T* v = wanted_.v + start * call_.inputs + i;
      for (Index k = 0; k < count; ++k) sorted_v_[k] = v[samples_[k] * call_.inputs];
    }
    evaluate(pull_, Pull, i, count, nullptr, pull_values_);
    evaluate(gather_, Gather, i, count, wanted_.v == nullptr ? nullptr : sorted_v_, gather_values_);
    if constexpr (Pull) std::memset(pulled_, 0, count * sizeof(T));

    const T* g = wanted_.g + start * call_.outputs;
    for (Index cell = 0; cell < call_.grid; ++cell) {
      const Index first = starts_[cell], size = starts_[cell + 1] - first;
      if (size == 0) continue;
      const Run<T> run{samples_ + first, pull_values_ + first, gather_values_ + first, pulled_ + first, size,
                       block_,           wanted_.pull_order};
      all_outputs(run, g, at(c, cell * call_.outputs), at(dc, cell * call_.outputs));
    }
    if constexpr (Pull) {
      for (Index k = 0; k < count; ++k) column[samples_[k]] = pulled_[k];
    }
  }

  // Counting sort by cell; starts_[cell] is then the position of the cell's first sample.
  void sort(Index count) {
    const Index grid = call_.grid;
    std::memset(starts_, 0, (grid + 1) * sizeof(int));
    for (Index k = 0; k < count; ++k) ++starts_[cells_[k]];
    int total = 0;
    for (Index cell = 0; cell <= grid; ++cell) {
      const int size = starts_[cell];
      starts_[cell] = total;
      total += size;
    }
    for (Index k = 0; k < count; ++k) samples_[starts_[cells_[k]]++] = static_cast<int>(k);
    for (Index cell = grid; cell > 0; --cell) starts_[cell] = starts_[cell - 1];
    starts_[0] = 0;
  }

  void evaluate(const Splines<T, D>& splines, bool needed, Index i, Index count, const T* weights, T* values) const {
    if (!needed) return;
    if (call_.uniform) {
      splines.evaluate(i, 0, count, sorted_u_, sorted_beyond_, weights, values, block_);
      return;
    }
    for (Index cell = 0; cell < call_.grid; ++cell) {
      const Index first = starts_[cell];
      splines.evaluate(i, cell, starts_[cell + 1] - first, sorted_u_ + first, sorted_beyond_ + first,
                       weights == nullptr ? nullptr : weights + first, values + first, block_);
    }
  }

  void all_outputs(const Run<T>& run, const T* g, const T* c, T* dc) const {
    constexpr Index tile = kWidth * kLanes<T>;
    const Index outputs = call_.outputs;
    Index o = 0;
    for (; o + tile <= outputs; o += tile) {
      run_tile<T, D, kWidth, false, Pull, Gather>(run, g + o, outputs, 0, at(c, o), at(dc, o));
    }
    for (; o < outputs; o += kLanes<T>) {
      const int lanes = static_cast<int>(least(kLanes<T>, outputs - o));
      run_tile<T, D, 1, true, Pull, Gather>(run, g + o, outputs, lanes, at(c, o), at(dc, o));
    }
  }

  // Arrays that are not wanted are null, and stay so.
  template <typename P>
  static P* at(P* array, Index offset) {
    return array == nullptr ? nullptr : array + offset;
  }

  const Call& call_;
  const Backward<T>& wanted_;
  const Splines<T, D>&pull_, &gather_;
  const Index block_, stride_;
  T *columns_, *u_, *beyond_, *sorted_u_, *sorted_beyond_, *sorted_v_, *pulled_, *pull_values_, *gather_values_;
  int *cells_, *samples_, *starts_;
};

template <typename T, int D>
bool pullback(const Call& call, const T* points, const T* x, const T* c, const T* g, T* u) {
  Backward<T> wanted{call.order, call.order, points, x, c, g};
  wanted.u = u;
  return BackwardPass<T, D, true, false>::run(call, wanted);
}

template <typename T, int D>
bool coefficient_gradient(const Call& call, const T* points, const T* x, const T* g, const T* v, T* dc) {
  Backward<T> wanted{call.order, call.order, points, x, nullptr, g, v};
  wanted.dc = dc;
  return BackwardPass<T, D, false, true>::run(call, wanted);
}

template <typename T, int D>
bool gradients(const Call& call, const T* points, const T* x, const T* c, const T* g, const T* v, T* u, T* dc) {
  return BackwardPass<T, D, true, true>::run(call, {call.order + 1, call.order, points, x, c, g, v, u, dc});
}

}  // namespace
}  // namespace edgewise
