// What the Python module sees of the kernels: one table of functions per instruction set.
#pragma once

#include <cstdint>

namespace edgewise {

using Index = std::int64_t;

// The sizes of a call and the splines it is about. All arrays are contiguous, the last dimension fastest.
struct Call {
  Index batch, inputs, outputs;
  Index grid;    // cells of an input
  int degree;    // 1 to kDegrees
  int order;     // of the derivative
  bool uniform;  // the points of an input are its two ends; otherwise its grid + 1 breakpoints
  int threads;

  Index functions() const { return grid + degree; }
};

// Shapes: points (inputs, points), x and v (batch, inputs), c and dc (inputs, functions, outputs), y and g
// (batch, outputs), u (batch, inputs). The weights v may be null. Where e (batch, inputs) and w (inputs, outputs) are not
// null, e·w is added to the result of `apply`: one more function of each input, given by its values. A function returns
// false where memory is short.
template <typename T>
struct Contractions {
  bool (*apply)(const Call&, const T* points, const T* x, const T* c, const T* v, const T* e, const T* w, T* y);
  bool (*pullback)(const Call&, const T* points, const T* x, const T* c, const T* g, T* u);
  bool (*coefficient_gradient)(const Call&, const T* points, const T* x, const T* g, const T* v, T* dc);
  // Both derivatives of `apply` without e in one pass: the pullback at the next order, and the coefficient gradient.
  bool (*gradients)(const Call&, const T* points, const T* x, const T* c, const T* g, const T* v, T* u, T* dc);
};

constexpr int kDegrees = 9;

// Columns column + first[n] … of a Jacobian's row n, `width` of them, with the values adjoint[n]·values[n, :].
template <typename T>
struct Segment {
  const T *values, *adjoint;
  const int* first;
  Index width, column;
};

// Adds to `half`, (columns, columns), a matrix that with its own transpose added is JᵀJ.
template <typename T>
using Gram = void (*)(const Segment<T>*, Index segments, Index samples, Index columns, int threads, T* half);

struct Kernels {
  const char* instructions;
  Contractions<float> singles[kDegrees];  // for degree 1, 2, …
  Contractions<double> doubles[kDegrees];
  Gram<float> gram_single;
  Gram<double> gram_double;
};

// The same source, compiled once for each instruction set; only on x86 are there others than the baseline.
const Kernels* baseline_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();

}  // namespace edgewise
