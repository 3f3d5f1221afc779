// Scratch memory, and the split of work among threads.
#pragma once

#include <cstdlib>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "kernels.hpp"

namespace edgewise {
namespace {

inline Index least(Index a, Index b) { return a < b ? a : b; }
inline Index most(Index a, Index b) { return a > b ? a : b; }
inline Index parts(Index whole, Index part) { return (whole + part - 1) / part; }

// Memory handed out piece by piece; each piece starts on a cache line of its own.
class Scratch {
 public:
  explicit Scratch(char* memory) : next_(memory) {}

  template <typename T>
  static constexpr Index bytes(Index count) {
    return (count * static_cast<Index>(sizeof(T)) + kLine - 1) / kLine * kLine;
  }

  template <typename T>
  T* take(Index count) {
    T* piece = reinterpret_cast<T*>(next_);
    next_ += bytes<T>(count);
    return piece;
  }

 protected:
  static constexpr Index kLine = 64;
  char* next_;
};

// The one allocation of a call.
class Arena : public Scratch {
 public:
  explicit Arena(Index bytes)
      : Scratch(static_cast<char*>(std::aligned_alloc(kLine, most(bytes, kLine)))), memory_(next_) {}
  ~Arena() { std::free(memory_); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  bool failed() const { return memory_ == nullptr; }

 private:
  char* memory_;
};

// The part of `count` tasks, in order, that one of several threads does.
struct Share {
  Index begin, end;

  Share(Index count, int threads, int thread) : begin(count * thread / threads), end(count * (thread + 1) / threads) {}
};

// Runs work(thread, threads) on up to `most_threads` threads: torch's own, where both use the same OpenMP runtime.
template <typename Work>
void parallel(int most_threads, const Work& work) {
#ifdef _OPENMP
  if (most_threads > 1) {
#pragma omp parallel num_threads(most_threads)
    work(omp_get_thread_num(), omp_get_num_threads());
    return;
  }
#endif
  (void)most_threads;
  work(0, 1);
}

// A thread for every so many multiplications, since waking one takes microseconds; results never depend on it.
inline int threads_for(const Call& call, Index tasks) {
  constexpr double kWorthAThread = 1 << 17;
  const double work = static_cast<double>(call.batch) * call.inputs * (call.outputs + 8) * (call.degree + 1);
  const double worth = work / kWorthAThread;
  const int wanted = worth < call.threads ? static_cast<int>(worth) : call.threads;
  return static_cast<int>(most(1, least(wanted, tasks)));
}

// A column of a row-major matrix.
template <typename T>
void copy_column(const T* matrix, Index columns, Index rows, T* column) {
  for (Index k = 0; k < rows; ++k) column[k] = matrix[k * columns];
}

// Neighbouring columns of a row-major matrix, each to a row of its own.
template <typename T>
void copy_columns(const T* matrix, Index width, Index rows, Index columns, T* target, Index stride) {
  for (Index k = 0; k < rows; ++k) {
    for (Index j = 0; j < columns; ++j) target[j * stride + k] = matrix[k * width + j];
  }
}

template <typename T>
void copy_back(const T* source, Index stride, Index rows, Index columns, T* matrix, Index width) {
  for (Index k = 0; k < rows; ++k) {
    for (Index j = 0; j < columns; ++j) matrix[k * width + j] = source[j * stride + k];
  }
}

}  // namespace
}  // namespace edgewise
