// The kernels for one instruction set. The build compiles this file once for each, with `EDGEWISE_KERNELS` naming the
// function that hands out the table and `EDGEWISE_INSTRUCTIONS` what it was built for.
#include "apply.hpp"
#include "backward.hpp"
#include "gram.hpp"

namespace edgewise {
namespace {

template <typename T, int D>
constexpr Contractions<T> contractions = {apply<T, D>, pullback<T, D>, coefficient_gradient<T, D>, gradients<T, D>};

#define EDGEWISE_DEGREES(T)                                                                            \
  {contractions<T, 1>, contractions<T, 2>, contractions<T, 3>, contractions<T, 4>, contractions<T, 5>, \
   contractions<T, 6>, contractions<T, 7>, contractions<T, 8>, contractions<T, 9>}

constexpr Kernels kernels = {EDGEWISE_INSTRUCTIONS, EDGEWISE_DEGREES(float), EDGEWISE_DEGREES(double), gram<float>,
                             gram<double>};

}  // namespace

const Kernels* EDGEWISE_KERNELS() { return &kernels; }

}  // namespace edgewise
