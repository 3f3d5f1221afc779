// B-splines as polynomials of a local coordinate, and the place of inputs on a grid.
//
// At a knot the value from the right is taken, at the upper end that from the left. Outside the domain the functions
// of the end cell continue linearly. Source: de Boor, A Practical Guide to Splines (2001), chapters IX and X.
#pragma once

#include "memory.hpp"
#include "simd.hpp"

namespace edgewise {
namespace {

// The functions that differ from zero in one cell: function r is Σ_p power[p][r]·u^p for u in [0, 1].
template <typename T, int D>
struct Piece {
  T power[D + 1][D + 1];
  T slope_below[D + 1];  // at u = 0 and u = 1: with which functions go on beyond the domain
  T slope_above[D + 1];
};

// Cox–de Boor recursion on the coefficients of the polynomials, for the cell that starts at knots[D].
template <typename T, int D>
void build_piece(const double* knots, int order, Piece<T, D>& piece) {
  const double start = knots[D], width = knots[D + 1] - knots[D];
  double now[D + 1][D + 1] = {{1.0}};  // [function][power]
  for (int degree = 1; degree <= D; ++degree) {
    double next[D + 1][D + 1] = {};
    for (int r = 0; r < degree; ++r) {
      const double left = knots[D - degree + 1 + r], right = knots[D + 1 + r];
      const double inverse = right > left ? 1 / (right - left) : 0.0;
      for (int p = 0; p < degree; ++p) {
        next[r + 1][p] += now[r][p] * (start - left) * inverse;
        next[r + 1][p + 1] += now[r][p] * width * inverse;
        next[r][p] += now[r][p] * (right - start) * inverse;
        next[r][p + 1] -= now[r][p] * width * inverse;
      }
    }
    std::memcpy(now, next, sizeof now);
  }
  for (int r = 0; r <= D; ++r) {
    double above = 0;
    for (int p = 1; p <= D; ++p) above += p * now[r][p];
    piece.slope_below[r] = static_cast<T>(now[r][1]);
    piece.slope_above[r] = static_cast<T>(above);
    for (int n = 0; n < order; ++n) {
      for (int p = 0; p < D; ++p) now[r][p] = (p + 1) * now[r][p + 1];
      now[r][D] = 0;
    }
    for (int p = 0; p <= D; ++p) piece.power[p][r] = static_cast<T>(now[r][p]);
  }
}

inline double to_the(double base, int exponent) {
  double result = 1;
  for (int n = 0; n < exponent; ++n) result *= base;
  return result;
}

// The splines of a call at one order of derivative.
template <typename T, int D>
class Splines {
 public:
  static Index bytes(const Call& call) {
    return Scratch::bytes<Piece<T, D>>(call.uniform ? 1 : call.inputs * call.grid);
  }

  Splines(const Call& call, const T* points, int order, Scratch& scratch)
      : order_(order),
        grid_(call.grid),
        uniform_(call.uniform),
        points_(points),
        pieces_(scratch.take<Piece<T, D>>(call.uniform ? 1 : call.inputs * call.grid)) {
    if (uniform_) {
      double knots[2 * D + 2];
      for (int k = 0; k < 2 * D + 2; ++k) knots[k] = k;
      build_piece(knots, order, pieces_[0]);
    } else {
      for (Index i = 0; i < call.inputs; ++i) {
        for (Index k = 0; k < grid_; ++k) build_free(points + i * (grid_ + 1), k, pieces_[i * grid_ + k]);
      }
    }
  }

  const Piece<T, D>& piece(Index input, Index cell) const { return pieces_[uniform_ ? 0 : input * grid_ + cell]; }

  // What turns derivatives by u into derivatives by x: the cell's width to the power −order.
  T scale(Index input, Index cell) const {
    return order_ == 0 ? T(1) : static_cast<T>(1 / to_the(static_cast<double>(width(input, cell)), order_));
  }

  T width(Index input, Index cell) const {
    if (uniform_) return (points_[2 * input + 1] - points_[2 * input]) / static_cast<T>(grid_);
    const T* own = points_ + input * (grid_ + 1) + cell;
    return own[1] - own[0];
  }

  // Where `count` values of one input lie: a cell, a local coordinate in [0, 1], and how far beyond, in cells.
  void place(Index input, Index count, const T* x, int* cells, T* u, T* beyond) const {
    if (uniform_) {
      const T low = points_[2 * input], high = points_[2 * input + 1], cell_width = width(input, 0);
      const T per_width = 1 / cell_width, cells_of_all = static_cast<T>(grid_);
      const int last_cell = static_cast<int>(grid_ - 1);
      for (Index k = 0; k < count; ++k) {
        T nearest = x[k] < low ? low : x[k];
        nearest = nearest > high ? high : nearest;
        T position = (nearest - low) / cell_width;
        position = position > cells_of_all ? cells_of_all : position;
        int cell = static_cast<int>(position == position ? position : T(0));
        cell = cell < last_cell ? cell : last_cell;
        cells[k] = cell;
        u[k] = position - static_cast<T>(cell);
        beyond[k] = (x[k] - nearest) * per_width;
      }
    } else {
      for (Index k = 0; k < count; ++k) place_free(input, x[k], cells[k], u[k], beyond[k]);
    }
  }

  // Values of the functions of one cell at `count` places, times `weights` where there are some: values[r·stride + k].
  void evaluate(Index input, Index cell, Index count, const T* u, const T* beyond, const T* weights, T* values,
                Index stride) const {
    const Piece<T, D>& own = piece(input, cell);
    const T factor = scale(input, cell);
    for (int r = 0; r <= D; ++r) {
      T* row = values + r * stride;
      T power[D + 1];
      for (int p = 0; p <= D; ++p) power[p] = own.power[p][r];
      const T below = own.slope_below[r], above = own.slope_above[r];
      if (order_ == 0) {
        for (Index k = 0; k < count; ++k) {
          row[k] = polynomial(power, u[k]) + beyond[k] * (beyond[k] < 0 ? below : above);
        }
      } else if (order_ == 1) {
        for (Index k = 0; k < count; ++k) row[k] = factor * polynomial(power, u[k]);
      } else {
        for (Index k = 0; k < count; ++k) {
          const bool outside = beyond[k] < 0 || beyond[k] > 0;
          const T value = factor * polynomial(power, u[k]);
          row[k] = outside ? T(0) : value;
        }
      }
      if (weights != nullptr) {
        for (Index k = 0; k < count; ++k) row[k] *= weights[k];
      }
    }
  }

  // The same where each place has a cell of its own.
  void evaluate_each(Index input, Index count, const int* cells, const T* u, const T* beyond, const T* weights,
                     T* values, Index stride) const {
    if (uniform_) return evaluate(input, 0, count, u, beyond, weights, values, stride);
    for (Index k = 0; k < count; ++k) {
      evaluate(input, cells[k], 1, u + k, beyond + k, weights == nullptr ? nullptr : weights + k, values + k, stride);
    }
  }

 private:
  // All powers are summed even where their coefficients are zero, so that NaN stays NaN.
  static T polynomial(const T (&power)[D + 1], T u) {
    T value = power[D];
    for (int p = D - 1; p >= 0; --p) value = value * u + power[p];
    return value;
  }

  void build_free(const T* points, Index cell, Piece<T, D>& piece) const {
    const double first = points[0], last = points[grid_];
    const double before = points[1] - first, after = last - points[grid_ - 1];
    double knots[2 * D + 2];
    for (int k = 0; k < 2 * D + 2; ++k) {
      const Index at = cell + k - D;
      knots[k] = at < 0 ? first + before * at : at > grid_ ? last + after * (at - grid_) : points[at];
    }
    build_piece(knots, order_, piece);
  }

  // The cell is the last of positive width that starts at or before x.
  void place_free(Index input, T x, int& cell, T& u, T& beyond) const {
    const T* own = points_ + input * (grid_ + 1);
    T nearest = x < own[0] ? own[0] : x;
    nearest = nearest > own[grid_] ? own[grid_] : nearest;
    Index low = 0, high = grid_;  // own[low] <= nearest < own[high], or nearest is the upper end
    const T sought = nearest < own[grid_] ? nearest : last_start(own);
    while (high - low > 1) {
      const Index middle = (low + high) / 2;
      (own[middle] <= sought ? low : high) = middle;
    }
    const T cell_width = own[low + 1] - own[low];
    cell = static_cast<int>(low);
    u = (nearest - own[low]) / cell_width;
    beyond = (x - nearest) / cell_width;
  }

  T last_start(const T* own) const {
    Index k = grid_ - 1;
    while (k > 0 && !(own[k] < own[grid_])) --k;
    return own[k];
  }

  int order_;
  Index grid_;
  bool uniform_;
  const T* points_;
  Piece<T, D>* pieces_;
};

}  // namespace
}  // namespace edgewise
