"""B-splines of any degree from 1 to 9 on uniform or free knots.

A grid of two points stands for `grid` equal cells between them; a grid of `grid + 1` points gives the breakpoints
themselves. Beyond the domain the knots go on with the width of the end cell, so there are `grid + degree` functions.
Within a cell only `degree + 1` of them differ from zero, each a polynomial in the local coordinate u ∈ [0, 1].

Source: de Boor, A Practical Guide to Splines (2001), chapters IX–XI; Liu et al., KAN (2024), section 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from edgewise.basis.basis import Basis, least_squares, projection, quadrature, vanish_beyond
from edgewise.basis.knot_insertion import contains, insertion_matrix, rounding_distance
from edgewise.errors import DomainError, OptionError

_MAX_DEGREE = 9
_EQUAL_SHARE = 0.1  # of equal cells in knots that follow the data
_MOST_HALVINGS = 50  # by then a cell is nothing but rounding
_UNIFORM = 2  # a grid of two points: only the ends are given, the cells are equal


@dataclass(frozen=True)
class BSpline(Basis):
    """B-splines of one degree.

    Args:
        grid: number of intervals, 1 or more.
        degree: polynomial degree, 1 to 9.

    Raises:
        OptionError: an argument is out of range.

    Example:
        >>> from edgewise.basis import BSpline
        >>> BSpline(grid=5, degree=3).size
        8
    """

    grid: int = 5
    degree: int = 3

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not (isinstance(self.grid, int) and self.grid >= 1):
            raise OptionError(f"a B-spline needs a grid of 1 or more intervals, got grid={self.grid!r}")
        if not (isinstance(self.degree, int) and 1 <= self.degree <= _MAX_DEGREE):
            raise OptionError(f"a B-spline's degree is 1 to {_MAX_DEGREE}, got degree={self.degree!r}")
        super().__post_init__()

    @property
    def size(self) -> int:
        """The number of functions, grid + degree."""
        return self.grid + self.degree

    @property
    def support(self) -> int:
        """In a cell degree + 1 functions differ from zero."""
        return self.degree + 1

    def ones(self) -> list[float]:
        """B-splines sum to 1."""
        return [1.0] * self.size

    def local(self, x: Tensor, grid: Tensor, order: int = 0) -> tuple[Tensor, Tensor]:
        """The functions that differ from zero.

        At a knot the value from the right is returned, at the upper end of the domain that from the left. Outside
        the domain the functions of the end cell continue linearly.

        Args:
            x: inputs, shape (..., I).
            grid: shape (I, 2) or (I, grid + 1).
            order: derivative order, 0 or more.

        Returns:
            The cell, which is the index of the first such function, shape (..., I); and the order-th derivatives of
            the functions cell, …, cell + degree, shape (..., I, degree + 1).
        """
        uniform = self.check_grid(grid)
        cell, u, beyond, width = (self._place if uniform else self._place_free)(x, grid)
        powers = torch.stack(_powers(u, self.degree), dim=-1)
        # Values are continued along their slopes, so order 0 needs both; one product gives them.
        orders = (0, 1) if order == 0 else (order,)
        if uniform:
            found = powers @ _uniform_pieces(self.degree, orders, x.dtype, x.device)
        else:
            inputs = torch.arange(grid.shape[0], device=grid.device)
            pieces = _derivatives(polynomial_pieces(self.knots(grid), self.degree), orders)
            found = (powers.unsqueeze(-2) @ pieces[inputs, cell]).squeeze(-2)
        beyond = beyond.unsqueeze(-1)
        if order == 0:
            functions = self.degree + 1
            return cell, torch.addcmul(found[..., :functions], beyond, found[..., functions:])
        scaled = found / width.unsqueeze(-1) ** order
        return cell, scaled if order == 1 else vanish_beyond(scaled, beyond)

    def values(self, x: Tensor, grid: Tensor, order: int = 0) -> Tensor:
        """Values of all functions anywhere, most of them zero; shape (..., I, M). See `Basis.values`."""
        cell, local = self.local(x, grid, order)
        columns = cell.unsqueeze(-1) + _offsets(self.degree, x.device)
        return local.new_zeros((*local.shape[:-1], self.size)).scatter_(-1, columns, local)

    def breakpoints(self, grid: Tensor) -> Tensor:
        """The ends of the cells, shape (I, grid + 1)."""
        if not self.check_grid(grid):
            return grid
        steps = torch.arange(self.grid + 1, dtype=grid.dtype, device=grid.device) / self.grid
        return torch.lerp(grid[:, :1], grid[:, 1:], steps)

    def knots(self, grid: Tensor) -> Tensor:
        """The breakpoints with `degree` further knots on each side, shape (I, grid + 1 + 2·degree)."""
        return _extended(self.breakpoints(grid), self.degree)

    def with_grid(self, grid: int) -> BSpline:
        """The same degree on another number of intervals."""
        return replace(self, grid=grid)

    def with_degree(self, degree: int) -> BSpline:
        """Another degree on the same intervals."""
        return replace(self, degree=degree)

    def refined_grid(self, grid: Tensor, finer: Basis) -> Tensor:
        """Each cell of free knots cut into equal parts; uniform grids are given by their ends already.

        Returns:
            The finer grid.

        Raises:
            OptionError: the finer grid is not a multiple of this one.
        """
        if not isinstance(finer, BSpline) or finer.grid == self.grid or grid.shape[1] == _UNIFORM:
            return grid
        parts, rest = divmod(finer.grid, self.grid)
        if rest:
            raise OptionError(f"free knots are refined by whole multiples of {self.grid}, got grid={finer.grid}")
        steps = torch.arange(parts, dtype=grid.dtype, device=grid.device) / parts
        inner = grid[:, :-1, None] + grid.diff(dim=1)[:, :, None] * steps
        return torch.cat([inner.flatten(1), grid[:, -1:]], dim=1)

    def adapted_grid(self, grid: Tensor, values: Tensor) -> Tensor:
        """Breakpoints at quantiles of the values, mixed with equal cells so that none vanishes; shape (I, grid + 1)."""
        ends = super().adapted_grid(grid, values)
        equal = self.breakpoints(ends)
        shares = torch.linspace(0, 1, self.grid + 1, dtype=grid.dtype, device=grid.device)
        quantiles = values.quantile(shares, dim=0).T
        spread = (quantiles[:, [0, -1]] == ends).all(dim=1, keepdim=True)  # elsewhere the present domain stays
        return torch.lerp(torch.where(spread, quantiles, equal), equal, _EQUAL_SHARE)

    def grid_over(self, grid: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """As many cells of the same knot lattice, moved along it or halved; stretched where they do not reach.

        Cells that are halved or dropped leave the functions as they are, and so do appended ones on the old domain.
        More cells, to reach further, would be exact too; but all inputs of a layer have equally many, and a domain
        that grows in a training grows where the functions are still far from what they will be.

        Returns:
            A new grid, shape (I, K); the present one where its lattice has no better.
        """
        stretched = super().grid_over(grid, low, high)
        if self.grid == 1:  # a polynomial is the same on any interval
            return stretched
        window, reached = _window(self.breakpoints(grid), self.grid, low, high)
        fits = reached
        for _ in range(_MOST_HALVINGS):
            middles = (window[:, 1:] + window[:, :-1]) / 2
            finer, finer_fits = _window(torch.cat([window, middles], dim=1).sort(dim=1).values, self.grid, low, high)
            fits = fits & finer_fits
            if not bool(fits.any()):
                break
            window = torch.where(fits.unsqueeze(1), finer, window)
        return torch.where(reached.unsqueeze(1), window[:, [0, -1]] if self.check_grid(grid) else window, stretched)

    def transfer(self, grid: Tensor, target: Basis, target_grid: Tensor) -> Tensor:
        """Exact where only knots are inserted, else the L2 projection; each input by itself.

        Knots are inserted where the target's breakpoints contain all of this basis's that lie in the target's domain.
        Where that domain goes on beyond this one, the functions stay exactly what they are within this one, and beyond
        it come as near to their linear continuation as that allows.

        Returns:
            Matrix of shape (I, M', M).
        """
        if not isinstance(target, BSpline) or target.degree != self.degree:
            return projection(self, grid, target, target_grid)
        coarse, fine = self.breakpoints(grid), target.breakpoints(target_grid)
        nested, rounding = contains(fine, coarse), rounding_distance(coarse).squeeze(1)
        wider = nested & ((fine[:, 0] < coarse[:, 0] - rounding) | (fine[:, -1] > coarse[:, -1] + rounding))
        matrix = grid.new_empty((grid.shape[0], target.size, self.size))
        for rows, transferred in ((nested & ~wider, _inserted), (wider, _continued), (~nested, projection)):
            if bool(rows.any()):
                matrix[rows] = transferred(self, grid[rows], target, target_grid[rows])
        return matrix

    def _place(self, x: Tensor, grid: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Cell, local coordinate in [0, 1], distance beyond the domain in cells, and cell width; equal cells."""
        low, high = grid.unbind(1)
        width = (high - low) / self.grid
        nearest = torch.minimum(torch.maximum(x, low), high)
        position = ((nearest - low) / width).clamp(max=self.grid)
        cell = position.long().clamp(0, self.grid - 1)  # both bounds: NaN becomes an arbitrary integer
        return cell, position - cell, (x - nearest) / width, width

    def _place_free(self, x: Tensor, grid: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The same for free knots: the cell is the last of positive width that starts at or before x."""
        nearest = torch.minimum(torch.maximum(x, grid[:, 0]), grid[:, -1])
        columns = nearest.movedim(-1, 0).reshape(grid.shape[0], -1).contiguous()
        cell = torch.searchsorted(grid.contiguous(), columns, right=True) - 1
        last = (grid < grid[:, -1:]).sum(dim=1, keepdim=True) - 1  # at the upper end step back over empty cells
        cell = torch.minimum(cell.clamp(min=0), last).reshape(nearest.movedim(-1, 0).shape).movedim(0, -1)
        inputs = torch.arange(grid.shape[0], device=grid.device)
        start, width = grid[inputs, cell], grid.diff(dim=1)[inputs, cell]
        return cell, (nearest - start) / width, (x - nearest) / width, width

    def check_grid(self, grid: Tensor) -> bool:
        """Whether a grid has equal cells, given by their ends.

        Args:
            grid: shape (I, 2) or (I, grid + 1).

        Returns:
            True for equal cells, False for free knots.

        Raises:
            DomainError: the grid has another number of points.
        """
        points = grid.shape[1]
        if points not in (_UNIFORM, self.grid + 1):
            raise DomainError(
                f"{self} needs a grid of 2 ends or {self.grid + 1} breakpoints per input, got {points} points"
            )
        return points == _UNIFORM


def _extended(points: Tensor, count: int) -> Tensor:
    """Breakpoints with `count` further ones on each side, in steps of the end cells' widths."""
    steps = torch.arange(1, count + 1, dtype=points.dtype, device=points.device)
    before = points[:, :1] - (points[:, 1:2] - points[:, :1]) * steps.flip(0)
    after = points[:, -1:] + (points[:, -1:] - points[:, -2:-1]) * steps
    return torch.cat([before, points, after], dim=1)


def _window(points: Tensor, cells: int, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """That many neighbouring cells between some breakpoints that reach over an interval.

    Args:
        points: breakpoints, shape (I, K), K > cells; as many cells as are asked for are appended on each side.
        cells: how many.
        low: lower end of the interval, shape (I,).
        high: its upper end, shape (I,).

    Returns:
        Breakpoints, shape (I, cells + 1), with as few appended cells as reach, and then the interval in the middle;
        and where they do reach, bool (I,).
    """
    lattice = _extended(points, cells)
    first = (lattice <= low.unsqueeze(1)).sum(dim=1) - 1
    last = (lattice < high.unsqueeze(1)).sum(dim=1)
    reach = (first >= 0) & (last < lattice.shape[1]) & (last - first <= cells)
    middle = ((first + last - cells) // 2).clamp(cells, points.shape[1] - 1)
    start = torch.minimum(torch.maximum(middle, last - cells), first).clamp(0, lattice.shape[1] - 1 - cells)
    return lattice.gather(1, start.unsqueeze(1) + torch.arange(cells + 1, device=points.device)), reach


def polynomial_pieces(knots: Tensor, degree: int) -> Tensor:
    """B-splines as polynomials of the local coordinate, by the Cox–de Boor recursion on coefficients.

    Args:
        knots: non-decreasing knots, shape (I, K + 2·degree) with K breakpoints in the middle.
        degree: polynomial degree.

    Returns:
        Matrices of shape (I, K − 1, degree + 1, degree + 1): row p, column r of cell k holds the coefficient of u^p in
        the r-th function that differs from zero there. Cells of no width hold finite numbers that are never used.
    """
    cells = knots.shape[1] - 1 - 2 * degree
    start = knots[:, degree : degree + cells]
    width = knots[:, degree + 1 : degree + 1 + cells] - start
    # pieces[r] is the polynomial of the r-th function of the present degree: a list over powers of u.
    pieces = [[torch.ones_like(start)]]
    for p in range(1, degree + 1):
        raised = [[torch.zeros_like(start) for _ in range(p + 1)] for _ in range(p + 1)]
        for r, piece in enumerate(pieces):
            # This function starts at `left` and ends at `right`; it feeds its two neighbours of degree p.
            left = knots[:, degree - p + 1 + r : degree - p + 1 + r + cells]
            right = knots[:, degree + 1 + r : degree + 1 + r + cells]
            span = right - left
            inverse = torch.where(span > 0, 1 / torch.where(span > 0, span, 1.0), 0.0)
            constant, slope = (start - left) * inverse, width * inverse
            for power, coefficient in enumerate(piece):
                raised[r + 1][power] += coefficient * constant
                raised[r + 1][power + 1] += coefficient * slope
                raised[r][power] += coefficient * (right - start) * inverse
                raised[r][power + 1] -= coefficient * slope
        pieces = raised
    return torch.stack([torch.stack(piece, dim=-1) for piece in pieces], dim=-1)


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # a cached inference tensor could never be used in training
def _uniform_pieces(degree: int, orders: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The one matrix that serves every cell of a uniform grid: the derivatives of all orders, side by side."""
    knots = torch.arange(2 * degree + 2, dtype=torch.float64).unsqueeze(0)
    return _derivatives(polynomial_pieces(knots, degree)[0, 0], orders).to(dtype=dtype, device=device)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _offsets(degree: int, device: torch.device) -> Tensor:
    return torch.arange(degree + 1, device=device)


def _derivatives(pieces: Tensor, orders: tuple[int, ...]) -> Tensor:
    """Derivatives by u of polynomials given by columns of coefficients, side by side."""
    results = []
    for order in range(max(orders) + 1):
        if order in orders:
            results.append(pieces)
        factors = torch.arange(1, pieces.shape[-2], dtype=pieces.dtype, device=pieces.device).unsqueeze(-1)
        pieces = torch.cat([factors * pieces[..., 1:, :], torch.zeros_like(pieces[..., :1, :])], dim=-2)
    return torch.cat(results, dim=-1)


def _powers(u: Tensor, degree: int) -> list[Tensor]:
    powers = [torch.ones_like(u), u]
    for _ in range(degree - 1):
        powers.append(powers[-1] * u)
    return powers


def _inserted(source: BSpline, grid: Tensor, target: BSpline, target_grid: Tensor) -> Tensor:
    return insertion_matrix(source.knots(grid), target.knots(target_grid), source.degree)


def _continued(source: BSpline, grid: Tensor, target: BSpline, target_grid: Tensor) -> Tensor:
    """Knot insertion on a domain that goes on beyond the old one.

    The functions that live beyond it altogether are free; they bend the others towards the linear continuation. That
    is asked of them on `degree` further cells, where the last functions of the target end: on the target's own domain
    some of them hardly differ from zero, and would get huge coefficients.

    Returns:
        Matrix of shape (I, M', M).
    """
    degree = source.degree
    points = target.knots(target_grid)
    padded = BSpline(points.shape[1] - 1, degree)
    knots = padded.knots(points)
    fixed = insertion_matrix(source.knots(grid), knots, degree)
    ends, rounding = grid[:, [0, -1]], rounding_distance(grid)
    free = (knots[:, degree + 1 :] <= ends[:, :1] + rounding) | (knots[:, : -degree - 1] >= ends[:, 1:] - rounding)
    fixed[free] = 0.0
    x, weights = quadrature(points)
    outside = (x < ends[:, :1]) | (x > ends[:, 1:])
    root = (weights * outside).sqrt().unsqueeze(-1)
    values = padded.values(x.T, points).transpose(0, 1)
    wanted = source.values(x.T, grid).transpose(0, 1) - values @ fixed
    bent = fixed + least_squares(root * values * free.unsqueeze(1), root * wanted)
    return bent[:, degree : degree + target.size]
