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
from edgewise.discovery.tree import Curve, Input, Tree, power, product_of, scaled

_ROWS, _NOISY_ROWS = 400, 1500
_MOST_FACTORS = 2
_KEPT = 8
_STEPS = 3  # after a linear fit of logarithms
_EXACT = 1e-11
_SHARE_OF_NOISE = 0.02  # below it no more factors are tried
_LEAST = 1e-3  # of the largest |y|: smaller values have no logarithm to rely on
_NEGLIGIBLE = 1e-9  # exponents that are none


class Products:
    """See the module."""

    name = "products of powers"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Formulas, those of fewer factors first."""
        del solve
        few = problem.reduced(_NOISY_ROWS if problem.noise > NOISY else _ROWS)
        large = few.y.abs() > (_LEAST * few.y.abs().max() if problem.noise > NOISY else 0)
        x, y, scale = few.x[large], few.y[large], few.scale[large]
        usable = [i for i in range(x.shape[1]) if bool((x[:, i] != 0).all()) and float(x[:, i].abs().log().std()) > 0]
        if len(y) < len(usable) + 3 or float(y.abs().log().std()) == 0:
            return
        weight = (y.abs() / scale if problem.noise > NOISY else torch.ones_like(y)).unsqueeze(1)
        weight = weight / weight.mean()
        base = torch.cat([torch.ones_like(weight), x[:, usable].abs().log()], dim=1)
        powers, exponentials = _factors(x, problem.rules)
        library = Library.of([powers, exponentials])
        columns = torch.cat([powers.values.abs().log(), exponentials.values], dim=1)
        finite = columns.isfinite().all(dim=0).nonzero().squeeze(1)
        target = y.abs().log().unsqueeze(1) * weight
        subsets = best_subsets(
            target.squeeze(1),
            base * weight,
            columns[:, finite] * weight,
            most=_MOST_FACTORS,
            kept=_KEPT,
            enough=max(_EXACT, _SHARE_OF_NOISE * problem.noise),
        )
        for subset in subsets:
            chosen = finite[list(subset.columns)]
            design = torch.cat([base, columns[:, chosen]], dim=1)
            found = torch.linalg.lstsq(design * weight, target).solution.squeeze(1)
            left = (design @ found).unsqueeze(1) * weight - target
            sigma = _standard_errors(design * weight, left)
            if problem.noise > NOISY:
                found = _unbiased(design, found, y.abs(), scale)
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
            yield _with_sign(product_of(*factors), float(found[0]), problem)


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
    exponentials = Library.of([whole, angles]).allowed(rules)
    return powers, exponentials if "exp" not in rules.forbidden else exponentials[torch.zeros(0, dtype=torch.long)]


def _unbiased(design: Tensor, start: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    """Coefficients of log y by Gauss–Newton steps on y itself: noise makes logarithms of small values too small."""
    found = start
    for _ in range(_STEPS):
        logarithm = design @ found
        weight = logarithm.exp() / scale
        target = (logarithm + y * (-logarithm).exp() - 1) * weight
        if not bool(target.isfinite().all() & weight.isfinite().all()):
            return start
        found = torch.linalg.lstsq(design * weight.unsqueeze(1), target.unsqueeze(1)).solution.squeeze(1)
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


def _with_sign(product: Tree, logarithm: float, problem: Problem) -> Tree:
    """The product times its constant, of the sign that fits better."""
    tree = scaled(product, math.exp(min(logarithm, 700.0)))
    other = scaled(product, -math.exp(min(logarithm, 700.0)))
    return min((tree, other), key=problem.error)
