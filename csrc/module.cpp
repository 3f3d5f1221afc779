// The Python module: hands the addresses of contiguous arrays to the kernels for the processor it runs on.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <new>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "kernels.hpp"

namespace nb = nanobind;
using namespace edgewise;

namespace {

// The tables that this processor can run, best first.
std::vector<const Kernels*> available() {
  std::vector<const Kernels*> found;
#ifdef EDGEWISE_X86
  __builtin_cpu_init();
  const bool fused = __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  if (avx512 && fused) found.push_back(avx512_kernels());
  if (__builtin_cpu_supports("avx2") && fused) found.push_back(avx2_kernels());
#endif
  found.push_back(baseline_kernels());
  return found;
}

const std::vector<const Kernels*> tables = available();
const Kernels* chosen = tables.front();

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const Kernels* table : tables) names.emplace_back(table->instructions);
  return names;
}

void use(const std::string& instructions) {
  for (const Kernels* table : tables) {
    if (instructions == table->instructions) {
      chosen = table;
      return;
    }
  }
  throw std::invalid_argument("no kernels for " + instructions + " on this processor; see instruction_sets()");
}

using Address = std::uintptr_t;
using Sizes = std::tuple<Index, Index, Index, Index, int, int, bool, int>;  // the fields of Call, in their order

Call checked(const Sizes& sizes) {
  const auto [batch, inputs, outputs, grid, degree, order, uniform, threads] = sizes;
  const bool positive = batch > 0 && inputs > 0 && outputs > 0 && grid > 0 && threads > 0;
  if (!positive || degree < 1 || degree > kDegrees || order < 0) {
    throw std::invalid_argument("sizes must be positive, the degree from 1 to 9 and the order 0 or more");
  }
  return {batch, inputs, outputs, grid, degree, order, uniform, threads};
}

// Calls a member of the table of a type and degree with arrays at the given addresses.
template <typename T, typename... Arrays, typename... Addresses>
bool run(bool (*Contractions<T>::*operation)(const Call&, Arrays...), const Contractions<T>* by_degree,
         const Call& call, Addresses... addresses) {
  return (by_degree[call.degree - 1].*operation)(call, reinterpret_cast<Arrays>(addresses)...);
}

template <auto Single, auto Double, typename... Addresses>
void dispatch(const Sizes& sizes, bool is_double, Addresses... addresses) {
  const Call call = checked(sizes);
  const Kernels& kernels = *chosen;
  bool done;
  {
    nb::gil_scoped_release release;
    done =
        is_double ? run(Double, kernels.doubles, call, addresses...) : run(Single, kernels.singles, call, addresses...);
  }
  if (!done) throw std::bad_alloc();
}

using SegmentAddresses = std::tuple<Address, Address, Address, Index, Index>;  // the fields of Segment, in their order

template <typename T>
void add_half_gram(Gram<T> gram, const std::vector<SegmentAddresses>& given, Index samples, Index columns, int threads,
                   Address half) {
  std::vector<Segment<T>> segments;
  segments.reserve(given.size());
  for (const auto& [values, adjoint, first, width, column] : given) {
    segments.push_back({reinterpret_cast<const T*>(values), reinterpret_cast<const T*>(adjoint),
                        reinterpret_cast<const int*>(first), width, column});
    for (Index n = 0; n < samples; ++n) {
      const Index start = column + segments.back().first[n];
      if (start < 0 || start + width > columns) {
        throw std::out_of_range("segment " + std::to_string(segments.size() - 1) + " leaves the columns at sample " +
                                std::to_string(n));
      }
    }
  }
  gram(segments.data(), static_cast<Index>(segments.size()), samples, columns, threads, reinterpret_cast<T*>(half));
}

void gram(const std::vector<SegmentAddresses>& given, bool is_double, Index samples, Index columns, int threads,
          Address half) {
  const Kernels& kernels = *chosen;
  nb::gil_scoped_release release;
  if (is_double) {
    add_half_gram<double>(kernels.gram_double, given, samples, columns, threads, half);
  } else {
    add_half_gram<float>(kernels.gram_single, given, samples, columns, threads, half);
  }
}

#define EDGEWISE_DISPATCH(operation, ...) \
  dispatch<&Contractions<float>::operation, &Contractions<double>::operation, __VA_ARGS__>

}  // namespace

NB_MODULE(_cpu, m) {
  m.doc() = "Contractions of B-splines on the CPU, described in csrc/kernels.hpp. Arrays are given by their addresses.";
  m.def("instruction_sets", &instruction_sets, "What this processor can run, best first.");
  m.def("in_use", [] { return std::string(chosen->instructions); }, "The instruction set in use.");
  m.def("use", &use, "Choose one of `instruction_sets`.");

  using A = Address;
  m.def("apply", &EDGEWISE_DISPATCH(apply, A, A, A, A, A, A, A), "sizes, is_double, points, x, c, v, e, w, y");
  m.def("pullback", &EDGEWISE_DISPATCH(pullback, A, A, A, A, A), "sizes, is_double, points, x, c, g, u");
  m.def("coefficient_gradient", &EDGEWISE_DISPATCH(coefficient_gradient, A, A, A, A, A),
        "sizes, is_double, points, x, g, v, dc");
  m.def("gradients", &EDGEWISE_DISPATCH(gradients, A, A, A, A, A, A, A), "sizes, is_double, points, x, c, g, v, u, dc");
  m.def("gram", &gram, "segments, is_double, samples, columns, threads, half");
}
