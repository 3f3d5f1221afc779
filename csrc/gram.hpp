// H += JᵀJ for Jacobians whose rows are mostly zero, without forming J.
//
// A row of J is a list of segments, the same list for every sample: `width` neighbouring columns, of which the first
// may vary from sample to sample, with the values adjoint[n]·values[n, :]. Each pair of segments meets in a small part
// of H that stays in cache while all samples are added to it. A pair belongs to one thread, so no result depends on the
// number of threads.
#pragma once

#include "memory.hpp"

namespace edgewise {
namespace {

constexpr Index kGramSamples = 2048;  // at a time, so that their values stay in the second cache

// Lanes lanes, wherever they lie; the compiler takes registers of this size.
template <typename T, int Lanes>
struct Few {
  typedef T Vector __attribute__((vector_size(Lanes * sizeof(T)), aligned(sizeof(T)), may_alias));
};

// to[q] += factor·from[q] for q < Width, in vectors of four, two and one.
template <int Width, typename T>
inline void add_scaled(T* to, T factor, const T* from) {
  constexpr int kFew = Width >= 4 ? 4 : Width >= 2 ? 2 : 1;
  if constexpr (Width > 0) {
    using Vector = typename Few<T, kFew>::Vector;
    *reinterpret_cast<Vector*>(to) += factor * *reinterpret_cast<const Vector*>(from);
    add_scaled<Width - kFew>(to + kFew, factor, from + kFew);
  }
}

// Adds what samples begin … end contribute where two segments meet. `Width` is that of both, or 0 if it varies.
template <typename T, int Width>
void meet(const Segment<T>& a, const Segment<T>& b, T share, Index begin, Index end, Index columns, T* __restrict h) {
  const Index rows = Width > 0 ? Width : a.width, across = Width > 0 ? Width : b.width;
  const T* __restrict left = a.values, * __restrict right = b.values;
  const T* __restrict left_adjoint = a.adjoint, * __restrict right_adjoint = b.adjoint;
  const int* __restrict row = a.first, * __restrict column = b.first;
  T* const corner = h + a.column * columns + b.column;
  for (Index n = begin; n < end; ++n) {
    const T weight = share * left_adjoint[n] * right_adjoint[n];
    T* const met = corner + row[n] * columns + column[n];
    for (Index r = 0; r < rows; ++r) {
      const T factor = weight * left[n * rows + r];
      if constexpr (Width > 0) {
        add_scaled<Width>(met + r * columns, factor, right + n * across);
      } else {
        for (Index q = 0; q < across; ++q) met[r * columns + q] += factor * right[n * across + q];
      }
    }
  }
}

template <typename T, int Width = 2>
void meet_of_width(const Segment<T>& a, const Segment<T>& b, T share, Index begin, Index end, Index columns, T* h) {
  if (a.width == Width && b.width == Width) {
    meet<T, Width>(a, b, share, begin, end, columns, h);
  } else if constexpr (Width <= kDegrees) {
    meet_of_width<T, Width + 1>(a, b, share, begin, end, columns, h);
  } else {
    meet<T, 0>(a, b, share, begin, end, columns, h);
  }
}

template <typename T>
void gram(const Segment<T>* segments, Index count, Index samples, Index columns, int threads, T* half) {
  const Index pairs = count * (count + 1) / 2;
  const int useful = static_cast<int>(most(1, least(threads, pairs * samples / 4096)));
  parallel(useful, [&](int thread, int of) {
    const Share share(pairs, of, thread);
    for (Index begin = 0; begin < samples; begin += kGramSamples) {
      const Index end = least(samples, begin + kGramSamples);
      Index number = 0;
      for (Index a = 0; a < count; ++a) {
        for (Index b = a; b < count; ++b, ++number) {
          if (number < share.begin || number >= share.end) continue;
          // The caller adds the transpose, which counts a segment's meeting with itself twice.
          meet_of_width<T>(segments[a], segments[b], a == b ? T(0.5) : T(1), begin, end, columns, half);
        }
      }
    }
  });
}

}  // namespace
}  // namespace edgewise
