"""Several networks instead of one, where the rows that were held out cannot tell which of them is best."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_DRAWS = 2000
_LEAST_SHARE = 0.02  # of the draws: networks that win less often are left out
_ENOUGH_ROWS = 1000  # to see who joins
_AT_A_TIME = 10_000_000  # numbers in memory


def possibly_best(squared_errors: Tensor, seed: int) -> list[int]:
    """Which of several networks could be the best, had other rows been held out.

    The rows are drawn anew, with replacement, and those networks count that win every now and then. One that is clearly
    best is alone; where differences are chance, several together predict better than any.

    Args:
        squared_errors: of each network on each held-out row, shape (K, M).
        seed: fixes the draws.

    Returns:
        Their places among the K, in this order; one at least.

    Example:
        >>> import torch
        >>> possibly_best(torch.tensor([[1.0, 1.0, 1.0], [0.1, 0.1, 0.1]]), seed=0)
        [1]

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993).
    """
    networks, rows = squared_errors.shape
    generator = torch.Generator().manual_seed(seed)
    wins = torch.zeros(networks, dtype=torch.long)
    step = max(1, _AT_A_TIME // rows)
    for start in range(0, _DRAWS, step):
        drawn = torch.randint(rows, (min(step, _DRAWS - start), rows), generator=generator)
        counts = torch.zeros(drawn.shape, dtype=squared_errors.dtype)
        counts.scatter_add_(1, drawn, torch.ones_like(counts))
        wins += torch.bincount((counts @ squared_errors.T).argmin(dim=1), minlength=networks)
    return torch.nonzero(wins >= min(_LEAST_SHARE * _DRAWS, int(wins.max()))).flatten().tolist()


def supported(residuals: Tensor, chosen: Sequence[int]) -> list[int]:
    """Some of several networks, and those that lower the error of their consensus by joining it, one after the other.

    Where rows are sparse good networks, too, go astray; those that are worse by themselves go astray elsewhere.

    Args:
        residuals: of each network on each held-out row, shape (K, M, O).
        chosen: places of those to begin with, one at least.

    Returns:
        The places of the chosen, and of those that joined.

    Example:
        >>> import torch
        >>> supported(torch.tensor([[1.0, -1.0], [-2.0, 2.0], [3.0, 3.0]]).unsqueeze(2), [0])
        [0, 1]

    Source: Caruana et al., Ensemble selection from libraries of models (2004).
    """

    def error(places: Sequence[int]) -> float:
        return float(consensus([residuals[place] for place in places]).square().mean())

    residuals = residuals[:, :: max(1, residuals.shape[1] // _ENOUGH_ROWS)]
    together = list(chosen)
    others = [place for place in range(len(residuals)) if place not in together]
    least = error(together)
    while others:
        reached, joins = min((error([*together, place]), place) for place in others)
        if not reached < least:
            break
        least = reached
        together.append(joins)
        others.remove(joins)
    return together


def consensus(predictions: Sequence[Tensor]) -> Tensor:
    """The median of the means of all pairs: nearly as good as the mean, but one of four or more may go astray.

    Args:
        predictions: of one network or more, each of the same shape.

    Returns:
        A tensor of this shape.

    Example:
        >>> import torch
        >>> consensus([torch.tensor([value]) for value in (1.0, 1.1, 1.2, 50.0)])
        tensor([1.1750])

    Source: Hodges and Lehmann, Estimates of location based on rank tests (1963).
    """
    stacked = torch.stack(list(predictions))
    first, second = torch.triu_indices(len(stacked), len(stacked))
    means = ((stacked[first] + stacked[second]) / 2).sort(dim=0).values
    return (means[(len(means) - 1) // 2] + means[len(means) // 2]) / 2
