"""y = M_a·Φ(M_b): a monomial times a curve of a monomial; the exponents and the curve are fitted as a network."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from edgewise.basis import BSpline, Chebyshev
from edgewise.discovery.exponents import simple_exponent
from edgewise.discovery.problem import NOISY, Problem
from edgewise.discovery.stage import Solve
from edgewise.discovery.surrogate import smooth_residual
from edgewise.discovery.tree import Input, Tree, monomial, power, product_of, substituted
from edgewise.kan import KAN
from edgewise.network import BasisBlock, KANLayer, Options, SymbolicBlock
from edgewise.training import fit_in_search

_ROWS = 1000
_GRID, _DEGREE = 8, 5
_STEPS = 60
_STARTS = 4
_TERMS = 12  # degree of the series that stands for the curve
_GOOD = 1e-2  # error of the network, relative to the spread of its target, from which exponents can be told
_TOLERATED = 3.0  # times the noise
_OF_NOISE = 1.5  # times the noise: what a smooth fit may leave of a curve
_EXCELLENT = 1e-6
_SMOOTH, _ROUGH = 1e-3, 0.3  # distance of neighbours from a straight line: of a curve, and relative to the error
_TURNS = 20.0  # radians that a curve may turn through
_SCALES = (1.0, 2.0, 3.0, 4.0)
_SLACK, _SLACK_PER_ERROR, _MOST_SLACK = 1e-3, 10.0, 0.15  # distance from whole numbers
_MOST_EXPONENT = 5.0
_SIGMA = 0.02  # error that exponents of the factor are thought to have
_LEFT_OVER = (0.0, 1.0, -1.0, 2.0, -2.0, 3.0)  # exponents that one input of the argument may keep in the factor
_MOST_SHARES = 3


class Ridge:
    """See the module."""

    name = "curve of a monomial"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Formulas for every way to share a power between the factor and the curve."""
        few = problem.thinned(_ROWS)
        inputs = [
            i for i, column in enumerate(problem.x.T) if bool((column > 0).all()) and float(few.x[:, i].log().std()) > 0
        ]
        if len(inputs) < 2:
            return
        logs = few.x[:, inputs].log()
        for outer, inner, error in _exponents(few, logs):
            z = torch.exp(problem.x[:, inputs].log() @ inner)
            for share in _shares(outer, inner):
                factor = torch.exp(problem.x[:, inputs].log() @ share)
                curve = problem.divided(z.unsqueeze(1), factor)
                # What is no curve is as rough as it is far from the network. Few rows make a curve rough, too.
                smooth = max(_SMOOTH, (_TURNS / len(curve.y)) ** 2)
                if problem.noise <= NOISY and curve.roughness() > max(smooth, _ROUGH * error) * curve.spread:
                    continue
                # Under noise neighbours may be alike by chance, and what is no curve would take all the time there is.
                if problem.noise > NOISY and not _is_curve(curve, problem.noise * problem.spread):
                    continue
                for tree in solve(curve):
                    inside = monomial(dict(zip(inputs, inner.tolist(), strict=True)))
                    outside = [power(Input(i), p) for i, p in zip(inputs, share.tolist(), strict=True) if p]
                    yield product_of(*outside, substituted(tree, {0: inside}))


def _is_curve(curve: Problem, noise: float) -> bool:
    """Whether a smooth fit leaves no more than noise, both in units of the errors."""
    left, _ = smooth_residual(curve.x, curve.y, curve.scale, curve.seed)
    return left < _OF_NOISE * noise


def _exponents(problem: Problem, logs: Tensor) -> Iterator[tuple[Tensor, Tensor, float]]:
    """Simple exponents of the factor and of the argument, and the error of the network that they are from."""
    center, spread = logs.mean(dim=0), logs.std(dim=0)
    u = (logs - center) / spread
    one_sign = bool((problem.y > 0).all() | (problem.y < 0).all())
    target = problem.y.abs().log() if one_sign else problem.y
    target = (target - target.mean() * one_sign) / target.std()
    seen = set()
    for start in _starts(u, target, problem.seed):
        if time.monotonic() > problem.deadline:
            return
        model = _network(u, start, logarithmic=one_sign)
        history = fit_in_search(model, u, target.unsqueeze(1), steps=_STEPS, solver="lm")
        error = math.sqrt(history.rows[-1]["train_loss"] or 0.0)
        inner, outer = (_weights(model, node) / spread for node in (0, 1))
        inner = _simple(inner, error)
        if inner is None or error > problem.tolerated(_GOOD, _TOLERATED) or tuple(inner.tolist()) in seen:
            continue
        seen.add(tuple(inner.tolist()))
        yield _factor(logs, inner, problem.y) if one_sign else outer, inner, error
        if error < _EXCELLENT:
            return


def _simple(exponents: Tensor, error: float) -> Tensor | None:
    """The least multiple of the exponents that is whole, or None where none is."""
    largest = float(exponents.abs().max())
    if not 0 < largest < math.inf:
        return None
    for scale in _SCALES:
        wanted = exponents / largest * scale
        whole = wanted.round()
        if float((wanted - whole).abs().max()) < min(_SLACK + _SLACK_PER_ERROR * error, _MOST_SLACK):
            return whole
    return None


def _factor(logs: Tensor, inner: Tensor, y: Tensor) -> Tensor:
    """The exponents of the factor, once those of the argument are known: a linear fit of log|y|."""
    z = logs @ inner
    ends = torch.stack([z.min(), z.max()]).unsqueeze(0)
    series = Chebyshev(degree=_TERMS).values(z.unsqueeze(1), ends)[:, 0]
    solution = torch.linalg.lstsq(torch.cat([series, logs], dim=1), y.abs().log().unsqueeze(1), driver="gelsd").solution
    return solution[-logs.shape[1] :, 0]


def _shares(outer: Tensor, inner: Tensor) -> Iterator[Tensor]:
    """Simple exponents of the factor that differ by powers of the argument, those of fewest inputs first."""
    found = []
    for i in inner.nonzero().flatten().tolist():
        for exponent in _LEFT_OVER:
            share = outer + (exponent - outer[i]) / inner[i] * inner
            simple = [simple_exponent(p, _SIGMA) for p in share.tolist()]
            if all(2 * p == round(2 * p) for p in simple) and max(map(abs, simple)) <= _MOST_EXPONENT:
                found.append(tuple(simple))
    ordered = sorted(dict.fromkeys(found), key=lambda share: (sum(p != 0 for p in share), sum(map(abs, share))))
    for share in itertools.islice(ordered, _MOST_SHARES):
        yield torch.tensor(share, dtype=outer.dtype)


def _starts(u: Tensor, target: Tensor, seed: int) -> Iterator[Tensor]:
    """Directions in which the target is curved most, then random ones."""
    inputs = u.shape[1]
    pairs = list(itertools.combinations_with_replacement(range(inputs), 2))
    design = torch.cat([torch.ones_like(u[:, :1]), u, torch.stack([u[:, i] * u[:, j] for i, j in pairs], dim=1)], dim=1)
    found = torch.linalg.lstsq(design, target.unsqueeze(1), driver="gelsd").solution[1 + inputs :, 0]
    matrix = u.new_zeros((inputs, inputs))
    for (i, j), value in zip(pairs, found.tolist(), strict=True):
        matrix[i, j] += value / 2
        matrix[j, i] += value / 2
    values, vectors = torch.linalg.eigh(matrix)
    order = values.abs().argsort(descending=True)
    yield vectors[:, order[0]]
    generator = torch.Generator().manual_seed(seed)
    for _ in range(_STARTS - 1):
        direction = torch.randn(inputs, generator=generator, dtype=u.dtype)
        yield direction / direction.norm()


def _network(u: Tensor, direction: Tensor, *, logarithmic: bool) -> KAN:
    """Log y = a·u + φ(b·u), or y = exp(a·u)·φ(b·u), with u the standard logarithms of the inputs."""
    inputs = u.shape[1]
    along = u @ direction
    low, high = float(along.min()), float(along.max())
    b = 2 / (high - low) * direction
    shift = -(high + low) / (high - low) / inputs
    affine = torch.zeros((2 * inputs, 4), dtype=u.dtype)
    affine[:, 0] = 1.0
    affine[:inputs, 2], affine[:inputs, 3] = b, shift
    frozen = torch.zeros((2 * inputs, 4), dtype=torch.bool)
    frozen[:, [0, 1, 3]] = True
    every = torch.arange(inputs)
    first = SymbolicBlock(
        "x", every.repeat(2), torch.arange(2).repeat_interleave(inputs), affine, shape=(inputs, 2), frozen=frozen
    )
    basis = BSpline(grid=_GRID, degree=_DEGREE)
    domain = torch.tensor([[-1.1, 1.1]], dtype=u.dtype).expand(2, 2)
    start = torch.zeros((2, basis.size, 1 if logarithmic else 2), dtype=u.dtype)
    mask = torch.zeros(start.shape[0], start.shape[2], dtype=torch.bool)
    mask[0, 0] = True
    curve = BasisBlock(basis, domain, start, mask=mask)
    held = torch.tensor([[True, True, True, True]])
    other = SymbolicBlock(
        "x" if logarithmic else "exp",
        torch.tensor([1]),
        torch.tensor([0 if logarithmic else 1]),
        torch.tensor([[1.0, 0.0, 1.0, 0.0]], dtype=u.dtype),
        shape=(2, 1 if logarithmic else 2),
        frozen=held,
    )
    layers = [
        KANLayer.from_blocks([first], (1, 1), inputs),
        KANLayer.from_blocks([curve, other], (1,) if logarithmic else (2,), 2),
    ]
    return KAN.assemble(layers, sample=u, options=Options())


def _weights(model: KAN, node: int) -> Tensor:
    block = model.all_layers[0].all_blocks()[0]
    assert isinstance(block, SymbolicBlock)
    return block.affine.detach()[block.target == node, 2]
