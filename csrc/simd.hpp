// Vectors of the widest registers that the compiler may use here.
//
// Everything is in an unnamed namespace, and no header of the standard library's templates is included: this code is
// compiled several times for different processors, and the linker must not merge the copies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace edgewise {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kRegisters = 32;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32, kRegisters = 16;
#elif defined(__aarch64__)
constexpr int kVectorBytes = 16, kRegisters = 32;
#else
constexpr int kVectorBytes = 16, kRegisters = 16;
#endif

template <typename T>
struct Simd;

template <>
struct Simd<float> {
  typedef float Vector __attribute__((vector_size(kVectorBytes)));
  typedef float Unaligned __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
};

template <>
struct Simd<double> {
  typedef double Vector __attribute__((vector_size(kVectorBytes)));
  typedef double Unaligned __attribute__((vector_size(kVectorBytes), aligned(8), may_alias));
};

template <typename T>
using Vector = typename Simd<T>::Vector;

template <typename T>
constexpr int kLanes = kVectorBytes / sizeof(T);

template <typename T>
inline Vector<T> load_full(const T* from) {
  return *reinterpret_cast<const typename Simd<T>::Unaligned*>(from);
}

template <typename T>
inline void store_full(T* to, Vector<T> values) {
  *reinterpret_cast<typename Simd<T>::Unaligned*>(to) = values;
}

template <typename T>
inline Vector<T> broadcast(T value) {
  return value - Vector<T>{};
}

// The first `count` lanes, 1 to all of them; memory beyond is not touched, and the other lanes are zero.
#if defined(__AVX512F__)
inline Vector<float> load_first(const float* from, int count) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from);
}
inline Vector<double> load_first(const double* from, int count) {
  return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << count) - 1), from);
}
inline void store_first(float* to, Vector<float> values, int count) {
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1), values);
}
inline void store_first(double* to, Vector<double> values, int count) {
  _mm512_mask_storeu_pd(to, static_cast<__mmask8>((1u << count) - 1), values);
}
#elif defined(__AVX2__)
inline __m256i first_of_8(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline __m256i first_of_4(int count) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
}
inline Vector<float> load_first(const float* from, int count) { return _mm256_maskload_ps(from, first_of_8(count)); }
inline Vector<double> load_first(const double* from, int count) { return _mm256_maskload_pd(from, first_of_4(count)); }
inline void store_first(float* to, Vector<float> values, int count) {
  _mm256_maskstore_ps(to, first_of_8(count), values);
}
inline void store_first(double* to, Vector<double> values, int count) {
  _mm256_maskstore_pd(to, first_of_4(count), values);
}
#else
template <typename T>
inline Vector<T> load_first(const T* from, int count) {
  Vector<T> values{};
  std::memcpy(&values, from, count * sizeof(T));
  return values;
}
template <typename T>
inline void store_first(T* to, Vector<T> values, int count) {
  std::memcpy(to, &values, count * sizeof(T));
}
#endif

// The sum of all lanes, halving until one is left.
#if defined(__AVX512F__) || defined(__AVX2__)
inline float sum_of_8(__m256 values) {
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}
inline double sum_of_4(__m256d values) {
  const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(values), _mm256_extractf128_pd(values, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}
#endif
#if defined(__AVX512F__)
inline float sum(Vector<float> values) {
  return sum_of_8(_mm256_add_ps(_mm512_castps512_ps256(values), _mm512_extractf32x8_ps(values, 1)));
}
inline double sum(Vector<double> values) {
  return sum_of_4(_mm256_add_pd(_mm512_castpd512_pd256(values), _mm512_extractf64x4_pd(values, 1)));
}
#elif defined(__AVX2__)
inline float sum(Vector<float> values) { return sum_of_8(values); }
inline double sum(Vector<double> values) { return sum_of_4(values); }
#else
template <typename V>
inline auto sum(V values) {
  auto total = values[0];
  for (unsigned lane = 1; lane < sizeof(V) / sizeof(total); ++lane) total += values[lane];
  return total;
}
#endif

// V neighbouring vectors of a row. Where `Partial`, the last of them has only `tail` lanes.
template <typename T, int V, bool Partial>
struct Row {
  Vector<T> part[V];

  static Row load(const T* from, int tail) {
    Row row;
    for (int v = 0; v < V; ++v) {
      row.part[v] = Partial && v == V - 1 ? load_first(from + v * kLanes<T>, tail) : load_full(from + v * kLanes<T>);
    }
    return row;
  }

  void store(T* to, int tail) const {
    for (int v = 0; v < V; ++v) {
      if (Partial && v == V - 1) {
        store_first(to + v * kLanes<T>, part[v], tail);
      } else {
        store_full(to + v * kLanes<T>, part[v]);
      }
    }
  }

  Row operator-(const Row& other) const {
    Row difference;
    for (int v = 0; v < V; ++v) difference.part[v] = part[v] - other.part[v];
    return difference;
  }

  T dot(const Row& other) const {
    Vector<T> products = part[0] * other.part[0];
    for (int v = 1; v < V; ++v) products += part[v] * other.part[v];
    return sum(products);
  }

  void add(T weight, const Row& other) {
    const Vector<T> weights = broadcast(weight);
    for (int v = 0; v < V; ++v) part[v] += weights * other.part[v];
  }
};

}  // namespace
}  // namespace edgewise
