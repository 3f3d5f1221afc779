"""Image: the cameraman photograph as a function from coordinates to intensity, by KANs and by SIREN.

An image of 256 × 256 pixels, 16 384 numbers at most to describe it, one for four pixels. Three networks from two
coordinates to one intensity:

- SIREN, a perceptron with sines, by Adam: what is usual for images;
- a plain KAN, [2, 84, 1] with cubic splines, by Adam on minibatches;
- a KAN whose structure is thought out first, and which then is a least-squares problem with a closed solution.

The thought behind the third. Detail is where the man is, not in the sky, so resolution has to be local. One spline can
have its knots where it needs them, but products f(x)·g(y) share the knots of a column over all rows. Therefore the
first layer cuts the image into strips of 8 rows and lays them end to end: with a staircase s of height 2,

    u = x + s(y)

runs over each strip in turn, and a spline of u has its own knots in each of them. The second layer has r product nodes,
each a spline along the ribbon times one across it, and the third adds them up:

    intensity(x, y) = Σ_k f_k(u)·g_k(y)

The width is [2, 2, [0, r], 1]. Given the knots, each strip is a matrix of which the best approximation of rank r is
wanted: the singular value decomposition gives it (Eckart and Young, 1936). The knots come from taking away, one by one,
the one that is missed least. They are counted as parameters, and so is the staircase: all that the network stores.

Published, for 512 × 512 pixels after 10 000 steps: 30.0 dB for a network with learnable activations and 29.2 dB for
SIREN. Sources: Sitzmann et al., Implicit neural representations with periodic activation functions (2020), equation 5
and section 3.2 for the start; the photograph is that of scikit-image.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from skimage.data import camera
from torch import Tensor, nn

import edgewise as ew
from edgewise.network import BasisBlock, KANLayer, Options, SymbolicBlock
from results import Settings

MOST_PARAMETERS = 16_384
WANTED, MOST_SECONDS = 33.0, 600  # dB
ROWS, PRODUCTS = 8, 6  # of a strip, and in the network
GAP = 2.0  # from one strip to the next along the ribbon: the width of the image in its coordinate

F64 = torch.float64


def photograph(size: int = 256) -> Tensor:
    """The cameraman, intensities between 0 and 1, by means over squares of pixels."""
    full = torch.tensor(camera() / 255.0, dtype=F64)
    step = len(full) // size
    return full.unflatten(0, (size, step)).unflatten(2, (size, step)).mean(dim=(1, 3))


def centres(size: int) -> Tensor:
    """Where the pixels are, within (−1, 1)."""
    return (torch.arange(size, dtype=F64) + 0.5) * 2 / size - 1


def rows_of(image: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates (x, y) of all pixels, and their intensities."""
    y, x = torch.meshgrid(*map(centres, image.shape), indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1), image.reshape(-1, 1)


def decibels(image: Tensor, other: Tensor) -> float:
    """Peak signal-to-noise ratio, for intensities between 0 and 1."""
    return -10 * math.log10(float((image - other).square().mean()))


# ---------------------------------------------------------------------------------------- the ribbon


def ribbon(image: Tensor, *, rows: int = ROWS, products: int = PRODUCTS, most: int = MOST_PARAMETERS) -> ew.KAN:
    """The network of strips that are laid end to end, with the best of all parameters for its knots.

    Args:
        image: shape (H, W); the rows of a strip divide H.
        rows: of a strip.
        products: how many product nodes there are.
        most: how many numbers the network may store, knots included.

    Returns:
        A network of width [2, 2, [0, products], 1].
    """
    height = len(image)
    strips = list(image.unflatten(0, (-1, rows)))
    # What is stored besides: across the ribbon, the staircase with its knots, and four numbers for each straight edge.
    stored = products * height + 2 + 2 * 2 * len(strips) + 4 * (products + 2)
    knots = kept_knots([_signals(strip, products) for strip in strips], (most - stored) // (products + 1))
    along, across = zip(*[best_factors(s, kept, products) for s, kept in zip(strips, knots, strict=True)], strict=True)
    x = centres(image.shape[1])
    places = torch.cat([x[kept] + GAP * number for number, kept in enumerate(knots)])
    return assemble(places, torch.cat(along), torch.cat(across), stairs(height, rows))


def _signals(strip: Tensor, products: int) -> Tensor:
    """What the strip's main profiles are multiplied with along x, shape (W, products), in units of intensity."""
    _, sizes, along = torch.linalg.svd(strip, full_matrices=False)
    return (sizes.unsqueeze(1) * along)[:products].T


def best_factors(strip: Tensor, knots: Tensor, products: int) -> tuple[Tensor, Tensor]:
    """The best approximation of a strip by products of a polygon along it and any profile across it.

    Args:
        strip: shape (rows, W).
        knots: the columns at which the polygons may bend, the first and the last included.
        products: how many.

    Returns:
        Heights of the polygons at their knots, (knots, products), and profiles, (rows, products).
    """
    columns = torch.arange(strip.shape[1], dtype=F64).unsqueeze(1)
    hats = ew.BSpline(grid=len(knots) - 1, degree=1).values(columns, knots.to(F64).unsqueeze(0))[:, 0]
    orthonormal, triangle = torch.linalg.qr(hats)
    left, sizes, right = torch.linalg.svd(orthonormal.T @ strip.T, full_matrices=False)
    roots = sizes[:products].sqrt()
    rank = len(roots)
    along, across = strip.new_zeros(len(knots), products), strip.new_zeros(len(strip), products)
    along[:, :rank] = torch.linalg.solve_triangular(triangle, left[:, :rank] * roots, upper=True)
    across[:, :rank] = right[:rank].T * roots
    return along, across


def stairs(height: int, rows: int) -> tuple[Tensor, Tensor]:
    """The staircase as a polygon: its knots in y, and its heights there. It rises between two rows of pixels."""
    y = centres(height).view(-1, rows)
    steps = GAP * torch.arange(len(y), dtype=F64)
    return y[:, [0, -1]].flatten(), steps.repeat_interleave(2)


def assemble(places: Tensor, along: Tensor, across: Tensor, staircase: tuple[Tensor, Tensor]) -> ew.KAN:
    """The network from its curves.

    Args:
        places: knots on the ribbon, shape (K,).
        along: heights there for each product, shape (K, R).
        across: heights at every row of pixels, shape (H, R).
        staircase: its knots and heights.

    Returns:
        The network; only what is along and across can be trained.
    """
    products = along.shape[1]
    even, odd = range(0, 2 * products, 2), range(1, 2 * products, 2)
    # Layer 1: u = x + s(y), and y as it is.
    rise = _curves(staircase[0], staircase[1].unsqueeze(1), source=1, targets=[0], shape=(2, 2))
    fold = [rise.with_locked(rise.mask), _straight([0, 1], [0, 1], shape=(2, 2))]
    # Layer 2: the factors of product k are the subnodes 2k and 2k + 1.
    curves = [
        _curves(places, along, source=0, targets=even, shape=(2, 2 * products)),
        _curves(centres(len(across))[[0, -1]], across, source=1, targets=odd, shape=(2, 2 * products)),
    ]
    layers = [
        KANLayer.from_blocks(fold, (1, 1), 2),
        KANLayer.from_blocks(curves, (2,) * products, 2),
        KANLayer.from_blocks([_straight(range(products), [0] * products, shape=(products, 1))], (1,), products),
    ]
    corners = torch.tensor([[-1.0, -1.0], [1.0, 1.0]], dtype=F64)
    return ew.KAN.assemble(layers, sample=corners, options=Options(input_names=("x", "y")))


def _curves(
    places: Tensor, heights: Tensor, *, source: int, targets: Sequence[int], shape: tuple[int, int]
) -> BasisBlock:
    """Polygons of one input: a B-spline of degree 1 is at each knot what its coefficient is."""
    grid = places.expand(shape[0], -1)
    coefficients = heights.new_zeros(shape[0], len(heights), shape[1])
    coefficients[source][:, list(targets)] = heights
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[source, list(targets)] = True
    return BasisBlock(ew.BSpline(grid=len(heights) - 1, degree=1), grid, coefficients, mask=mask)


def _straight(sources: Sequence[int], targets: Sequence[int], *, shape: tuple[int, int]) -> SymbolicBlock:
    """Edges that pass on what they get, locked."""
    source, target = torch.tensor(list(sources)), torch.tensor(list(targets))
    affine = torch.tensor([[1.0, 0.0, 1.0, 0.0]], dtype=F64).repeat(len(source), 1)
    locked = torch.ones(len(source), dtype=torch.bool)
    return SymbolicBlock("x", source, target, affine, shape=shape, locked=locked)


def stored_numbers(model: ew.KAN) -> int:
    """All numbers that describe the edges: coefficients, locked ones too, and knots; four for a symbolic edge."""
    total = 0
    for layer in model.all_layers:
        for block in layer.all_blocks():
            if isinstance(block, BasisBlock):
                total += int(block.mask.sum()) * block.basis.size
                total += block.grid.shape[1] * int(block.mask.any(dim=1).sum())
            else:
                total += 4 * int(block.mask.sum())
    return total


# ---------------------------------------------------------------------------------------- where knots are missed least


def kept_knots(signals: Sequence[Tensor], count: int) -> list[Tensor]:
    """Begin with a knot at every sample, and take away the one that is missed least until few enough are left.

    Args:
        signals: for each strip curves that share their knots, shape (W, R).
        count: how many knots are left, over all strips; the ends of each are kept.

    Returns:
        The indices of each strip's knots, ascending.
    """
    strips = [_Polygon(signal.numpy()) for signal in signals]
    heap = [(strip.loss(knot), number, knot, 0) for number, strip in enumerate(strips) for knot in strip.inner()]
    heapq.heapify(heap)
    left = sum(len(strip.values) for strip in strips)
    while left > count and heap:
        _, number, knot, version = heapq.heappop(heap)
        strip = strips[number]
        if strip.versions.get(knot) != version:
            continue  # its neighbours have changed since, or it is gone
        left -= 1
        for neighbour in strip.remove(knot):
            entry = (strip.loss(neighbour), number, neighbour, strip.versions[neighbour])
            heapq.heappush(heap, entry)
    return [torch.tensor(strip.knots()) for strip in strips]


class _Polygon:
    """Curves that are joined straight between knots they share."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        last = len(values) - 1
        self.before = {knot: knot - 1 for knot in range(1, last + 1)}
        self.after = {knot: knot + 1 for knot in range(last)}
        self.versions = dict.fromkeys(range(1, last), 0)  # of the inner knots that are left

    def inner(self) -> list[int]:
        """The knots that may go."""
        return list(self.versions)

    def knots(self) -> list[int]:
        """All that are left."""
        return [0, *sorted(self.versions), len(self.values) - 1]

    def loss(self, knot: int) -> float:
        """By how much the squared error grows without a knot."""
        start, end = self.before[knot], self.after[knot]
        return self._error(start, end) - self._error(start, knot) - self._error(knot, end)

    def remove(self, knot: int) -> list[int]:
        """Take a knot away; returns its inner neighbours, which now have another loss."""
        start, end = self.before[knot], self.after[knot]
        del self.versions[knot]
        self.after[start], self.before[end] = end, start
        neighbours = [each for each in (start, end) if each in self.versions]
        for each in neighbours:
            self.versions[each] += 1
        return neighbours

    def _error(self, start: int, end: int) -> float:
        share = (np.arange(start, end) - start)[:, None] / (end - start)
        line = (1 - share) * self.values[start] + share * self.values[end]
        return float(np.square(self.values[start:end] - line).sum())


# ---------------------------------------------------------------------------------------- networks by Adam


def plain_kan(image: Tensor, seconds: float, *, width: int = 84, grid: int = 61) -> ew.KAN:
    """A KAN without any thought, by Adam on minibatches with a falling learning rate."""
    x, y = (part.float() for part in rows_of(image))
    model = ew.KAN([2, width, 1], basis=ew.BSpline(grid=grid), dtype=torch.float32)
    for rate in (1e-2, 3e-3, 1e-3):
        model.fit(x, y, solver=ew.Adam(learning_rate=rate), batch=8192, steps=10**6, max_time=seconds / 3)
    return model


class Sine(nn.Module):
    """sin(30·(Wx + b)), started as its inventors say."""

    def __init__(self, inputs: int, outputs: int, *, first: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        bound = 1 / inputs if first else math.sqrt(6 / inputs) / 30
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Values of shape (..., outputs)."""
        return torch.sin(30 * self.linear(x))


def siren(image: Tensor, seconds: float, *, width: int = 72, seed: int = 0) -> nn.Module:
    """SIREN of as many parameters, by Adam on minibatches with a learning rate that falls along a cosine."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        last = nn.Linear(width, 1)
        nn.init.uniform_(last.weight, -math.sqrt(6 / width) / 30, math.sqrt(6 / width) / 30)
        model = nn.Sequential(Sine(2, width, first=True), *[Sine(width, width) for _ in range(3)], last)
    x, y = (part.float() for part in rows_of(image))
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    started = time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (0.01 + 0.99 * (1 + math.cos(math.pi * passed / seconds)) / 2)
        rows = torch.randint(len(x), (8192,), generator=generator)
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return model


# ---------------------------------------------------------------------------------------- the table and the picture


@torch.no_grad()
def seen_by(model: nn.Module, image: Tensor) -> Tensor:
    """The image that a network has learned."""
    x, _ = rows_of(image)
    dtype = next(model.parameters()).dtype
    return model(x.to(dtype)).view_as(image).to(F64)


def picture(images: dict[str, Tensor], knots: Tensor) -> Figure:
    """Every image with its name, and where the knots are."""
    drawing = Figure(figsize=(3 * (len(images) + 1), 3.3), layout="constrained")
    panels = drawing.subplots(1, len(images) + 1)
    for axes, (name, image) in zip(panels, images.items(), strict=False):
        axes.imshow(image.numpy(), cmap="gray", vmin=0, vmax=1)
        axes.set_title(name, fontsize="small")
    panels[-1].imshow(knots.numpy(), cmap="gray_r", aspect="auto", interpolation="nearest")
    panels[-1].set_title("knots of each strip", fontsize="small")
    for axes in panels:
        axes.set_axis_off()
    return drawing


def knots_of(model: ew.KAN, image: Tensor) -> Tensor:
    """Which pixels along each strip are knots, shape (strips, W)."""
    places = model.all_layers[1].all_blocks()[0].grid[0]
    height, width = image.shape
    strip = ((places + 1) / GAP).floor().long()
    column = ((places - GAP * strip + 1) * width / 2 - 0.5).round().long()
    shown = torch.zeros(height // ROWS, width)
    shown[strip, column] = 1
    return shown


@dataclass(frozen=True)
class Fitted:
    """A network that has learned the image.

    Args:
        name: of the network.
        model: the network.
        parameters: how many numbers it stores.
        seconds: what it took.
    """

    name: str
    model: nn.Module
    parameters: int
    seconds: float

    @classmethod
    def by_adam(cls, name: str, model: nn.Module, seconds: float) -> Fitted:
        """A network all of whose parameters were trained for some seconds."""
        return cls(name, model, sum(parameter.numel() for parameter in model.parameters()), seconds)


def row_of(fitted: Fitted, image: Tensor, wanted: float | None = None) -> dict[str, Any]:
    """The row of a network in the table; what is wanted is in decibels."""
    reached = decibels(image, seen_by(fitted.model, image))
    within = fitted.parameters <= MOST_PARAMETERS and fitted.seconds <= MOST_SECONDS
    return {
        "network": fitted.name,
        "parameters": fitted.parameters,
        "seconds": fitted.seconds,
        "PSNR, dB": f"{reached:.2f}",
        "wanted": None if wanted is None else f"≥ {wanted:.2f} dB, ≤ {MOST_PARAMETERS} parameters, ≤ {MOST_SECONDS} s",
        "met": None if wanted is None else "yes" if reached >= wanted and within else "NO",
    }


def main() -> None:
    """Fit three networks, and compare."""
    settings = Settings.parse("image", __doc__.splitlines()[0])
    image = photograph()
    started = time.perf_counter()
    model = ribbon(image)
    strips = Fitted("KAN, strips end to end", model, stored_numbers(model), time.perf_counter() - started)
    # The others have as long as the first took, and many times that.
    seconds = max(5.0 if settings.quick else 250.0, strips.seconds)
    plain = Fitted.by_adam("KAN, [2, 84, 1], Adam", plain_kan(image, seconds), seconds)
    sines = Fitted.by_adam("SIREN, 4 sines of 72, Adam", siren(image, seconds), seconds)
    wanted = max(WANTED, decibels(image, seen_by(sines.model, image)))
    rows = [row_of(strips, image, wanted), row_of(plain, image), row_of(sines, image)]
    settings.show(f"The cameraman, {len(image)} × {len(image)}", rows)
    images = {"photograph": image}
    for row, fitted in zip(rows, (strips, plain, sines), strict=True):
        images[f"{row['network']}\n{row['PSNR, dB']} dB"] = seen_by(fitted.model, image)
    settings.draw(picture(images, knots_of(model, image)))


if __name__ == "__main__":
    main()
