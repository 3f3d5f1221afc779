"""y = c·Π x_i^p_i·Π g_k^q_k: a linear fit of logarithms, with up to two factors from a library."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from edgewise.discovery.exponents import simple_exponent
from edgewise.discovery.library import Library, arguments, inputs_of, monomials, pair_exponents, sums_of_two, turns
from edgewise.discovery.problem import NOISY, Problem
from edgewise.discovery.rules import Rules
from edgewise.discovery.stage import Solve
from edgewise.discovery.subsets import best_subsets
from edgewise.discovery.tree import Curve, Input, Tree, evaluate, power, product_of, scaled

_ROWS, _NOISY_ROWS = 400, 1500
_MOST_FACTORS, _MOST_NOISY_FACTORS = 3, 2
_KEPT = 8
_STEPS = 3  # after a linear fit of logarithms
_EXACT = 1e-11
_SHARE_OF_NOISE = 0.02  # below it no more factors are tried
_FEWEST_ROWS = 4
_OTHER_SIGN = 0.01  # share of the large values that noise may have turned
_SIGMAS = 4.0  # of noise: smaller values have no logarithm to rely on
_NEGLIGIBLE = 1e-9  # exponents that are none


class Products:
    """See the module."""

    name = "products of powers"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Formulas, those of fewer factors first."""
        del solve
        noisy = problem.noise > NOISY
        few = problem.reduced(_NOISY_ROWS) if noisy else problem.some(problem.y != 0).thinned(_ROWS)
        x = few.x
        large = few.y.abs() / few.scale > (_SIGMAS * problem.noise * problem.spread if noisy else 0)
        y, scale = few.y[large], few.scale[large]
        if len(y) < _FEWEST_ROWS:
            return
        logs = x[large].abs().log()
        usable = [i for i in range(x.shape[1]) if bool(logs[:, i].isfinite().all()) and float(logs[:, i].std()) > 0]
        if len(y) < len(usable) + 3 or float(y.abs().log().std()) == 0:
            return
        weight = (y.abs() / scale if noisy else torch.ones_like(y)).unsqueeze(1)
        weight = weight / weight.mean()
        base = torch.cat([torch.ones_like(x[:, :1]), x[:, usable].abs().log()], dim=1)
        powers, exponentials = _factors(x, problem.rules)
        library = Library.of([powers, exponentials])
        columns = torch.cat([powers.values.abs().log(), exponentials.values], dim=1)
        finite = columns[large].isfinite().all(dim=0).nonzero().squeeze(1)
        target = y.abs().log().unsqueeze(1) * weight
        subsets = best_subsets(
            target.squeeze(1),
            base[large] * weight,
            columns[large][:, finite] * weight,
            most=_MOST_NOISY_FACTORS if noisy else _MOST_FACTORS,
            kept=_KEPT,
            enough=max(_EXACT, _SHARE_OF_NOISE * problem.noise),
            price=library.prices()[finite] if noisy else None,
        )
        for subset in subsets:
            chosen = finite[list(subset.columns)]
            design = torch.cat([base, columns[:, chosen]], dim=1)
            weighted = design[large] * weight
            found = torch.linalg.lstsq(weighted, target, driver="gelsd").solution.squeeze(1)
            sigma = _standard_errors(weighted, weighted @ found.unsqueeze(1) - target)
            if noisy:
                there = design.isfinite().all(dim=1)
                magnitudes = few.y * _signs(few.y, large)
                found = _unbiased(design[there], found, magnitudes[there], few.scale[there])
            exponents = [simple_exponent(float(p), float(s)) for p, s in zip(found, sigma, strict=True)]
            factors: list[Tree] = [
                power(_positive(Input(i), x[:, i], p), p)
                for i, p in zip(usable, exponents[1:], strict=False)
                if abs(p) > _NEGLIGIBLE
            ]
            for place, p, raw in zip(
                chosen.tolist(), exponents[1 + len(usable) :], found[1 + len(usable) :], strict=True
            ):
                tree = library.trees[place]
                if place < len(powers.trees):
                    factors.append(power(_positive(tree, library.values[:, place], p), p))
                else:
                    factors.append(Curve("exp", scaled(tree, float(raw))))
            if not factors:
                continue
            yield _with_its_factor(product_of(*factors), problem)


def _factors(x: Tensor, rules: Rules) -> tuple[Library, Library]:
    """Factors other than the inputs: those that are taken to a power, and those that are taken in an exponential."""
    whole = arguments(x)
    columns = inputs_of(x)
    inputs = x.shape[1]
    inner = [columns, sums_of_two(columns)] if inputs > 1 else [columns]
    if inputs > 1:
        inner.append(monomials(x, pair_exponents(inputs)))
    few = Library.of(inner).usable()
    angles = turns(few)
    above = Library.of([few.curves("exp", sign) for sign in (1.0, -1.0)])
    own = [few.curves(name) for name in rules.own]
    powers = Library.of([whole, angles, above.shifted(-1.0), above.shifted(1.0), whole.curves("log"), *own])
    powers = powers[powers.values.isfinite().all(dim=0).nonzero().squeeze(1)].allowed(rules)
    exponentials = Library.of([whole, angles, above]).allowed(rules)
    return powers, exponentials if "exp" not in rules.forbidden else exponentials[torch.zeros(0, dtype=torch.long)]


def _signs(y: Tensor, large: Tensor) -> Tensor:
    """The sign that nearly all large values have, or that of each value, shape (N,)."""
    share = float((y[large] > 0).double().mean())
    if min(share, 1 - share) < _OTHER_SIGN:
        return torch.full_like(y, 1.0 if share > 0.5 else -1.0)
    return y.sign()


def _unbiased(design: Tensor, start: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    """Coefficients of log y by Gauss–Newton steps on y itself: noise makes logarithms of small values too small."""
    found = start
    for _ in range(_STEPS):
        logarithm = design @ found
        weight = logarithm.exp() / scale
        target = (logarithm + y * (-logarithm).exp() - 1) * weight
        if not bool(target.isfinite().all() & weight.isfinite().all()):
            return start
        w = weight.unsqueeze(1)
        found = torch.linalg.lstsq(design * w, target.unsqueeze(1), driver="gelsd").solution.squeeze(1)
    return found


def _standard_errors(design: Tensor, left: Tensor) -> Tensor:
    freedom = max(len(design) - design.shape[1], 1)
    variance = float(left.square().sum()) / freedom
    return (variance * torch.linalg.pinv(design.T @ design, hermitian=True).diagonal()).clamp_min(0).sqrt()


def _positive(tree: Tree, values: Tensor, exponent: float) -> Tree:
    """The tree, or its absolute value where a root would have to be taken of negative values."""
    negative = float(values.min()) < 0
    if not negative or exponent == round(exponent):
        return tree
    return scaled(tree, -1.0) if float(values.max()) <= 0 else Curve("abs", tree)


def _with_its_factor(product: Tree, problem: Problem) -> Tree:
    """The product times the constant that fits best once its exponents are simple."""
    values, target = evaluate(product, problem.x) / problem.scale, problem.y / problem.scale
    size = values.abs().max()
    factor = float((values / size) @ target / (values / size).square().sum() / size)
    return scaled(product, factor) if math.isfinite(factor) else product
