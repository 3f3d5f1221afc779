"""The Jacobian of residual rows that a callable makes of a network's outputs and their derivatives.

A backward pass gives one row; for thousands of rows that is thousands of passes over all samples, although a row looks
at one or two of them. So every sample is given its own copy of the parameters. Then one pass, for the sum of all rows,
gives the gradients sample by sample, and a row's gradient is the sum over the samples that it looks at. Which ones
these are is found by random weights of the rows, and the result is checked against a plain backward pass each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgewise.network import Network
from edgewise.training.gauss_newton import gather_gradients, get_parameters

_MOST_NUMBERS = 2**25  # of the gradients of all samples
_MOST_GROUPS = 16  # of rows, beyond which rows are not local
_ALIKE = 1e-7  # relative differences that count as rounding
_NONE = -1

Rows = Callable[[Any], Tensor]


class SampleCopies(nn.Module):
    """A network in which every sample that is evaluated has its own copy of the parameters.

    Args:
        model: the network, to which everything but evaluation is passed on.

    Attributes:
        calls: the copies, for each call a list of one tensor (B, …) per parameter.
    """

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model
        self.calls: list[list[Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        """See `Network.forward`."""
        flat = x.reshape(-1, self.model.in_features)
        names = [name for name, _ in self.model.named_parameters()]
        copies = [
            parameter.detach().expand(len(flat), *parameter.shape).requires_grad_()
            for parameter in self.model.parameters()
        ]
        self.calls.append(copies)

        def one(parameters: list[Tensor], row: Tensor) -> Tensor:
            given = dict(zip(names, parameters, strict=True))
            return torch.func.functional_call(self.model, given, (row.unsqueeze(0),)).squeeze(0)

        return torch.func.vmap(one)(copies, flat).reshape(*x.shape[:-1], self.model.out_features)

    def __getattr__(self, name: str) -> Any:
        """What the network has and this has not."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("model"), name)


@dataclass(frozen=True)
class RowGroup:
    """Rows no two of which look at the same sample.

    Args:
        rows: their indices.
        of_sample: for every sample the index of the row that looks at it, or -1.
    """

    rows: Tensor
    of_sample: Tensor


class RowJacobian:
    """Jacobians of a callable's rows, at one point after the other.

    Args:
        model: the network, whose parameters change from point to point.
        rows: the callable: a network to residual rows, shape (R,).
    """

    def __init__(self, model: Network, rows: Rows) -> None:
        self.model = model
        self.rows = rows
        self.groups: list[RowGroup] | None = None
        self.serves = True
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self) -> tuple[Tensor, Tensor] | None:
        """Rows (R,) and their Jacobian (R, P) at the present parameters.

        Returns:
            Both, or None where rows are not local, or made of more than what the network says at given inputs.
        """
        if not self.serves:
            return None
        try:
            found = self._found()
        except (RuntimeError, TypeError, AttributeError):  # the callable looks into the network, or transforms it
            found = None
        self.serves = found is not None
        return found

    def _found(self) -> tuple[Tensor, Tensor] | None:
        values = self.rows(self.model)
        weights = self._weights(len(values))
        plain = self._gradient(values, weights)
        local = _LocalGradients(self.model, self.rows, len(get_parameters(self.model)))
        if not local.is_small():
            return None
        for known in (True, False):  # what is known of the rows may have changed
            if not known or self.groups is None:
                self.groups = self._grouped(local, torch.arange(len(values)))
            if self.groups is None:
                return None
            jacobian = local.jacobian(self.groups)
            if bool(((weights @ jacobian - plain).abs() <= _ALIKE * plain.abs().max()).all()):
                return values.detach(), jacobian
        return None

    def _gradient(self, values: Tensor, weights: Tensor) -> Tensor:
        """Of the weighted sum of the rows, by a plain backward pass."""
        named = dict(self.model.named_parameters())
        grads = torch.autograd.grad(values, list(named.values()), weights, allow_unused=True)
        return gather_gradients(self.model, dict(zip(named, grads, strict=True)))

    def _weights(self, rows: int) -> Tensor:
        """Between 1 and 2, in random order, no two closer than half of what is usual."""
        like = self.model.sample
        steps = torch.arange(rows) + 0.5 * torch.rand(rows, generator=self.generator)
        return 1 + steps[torch.randperm(rows, generator=self.generator)].to(like) / rows

    def _grouped(self, local: _LocalGradients, rows: Tensor) -> list[RowGroup] | None:
        """Groups of rows, halved until no sample feeds two rows of one; None where that makes too many."""
        groups, waiting = [], [rows]
        while waiting:
            if len(groups) + len(waiting) > _MOST_GROUPS:
                return None
            some = waiting.pop()
            of_sample = self._rows_of_samples(local, some)
            if of_sample is not None:
                groups.append(RowGroup(some, of_sample))
            elif len(some) == 1:
                return None
            else:
                waiting.extend(some.tensor_split(2))
        return groups

    def _rows_of_samples(self, local: _LocalGradients, some: Tensor) -> Tensor | None:
        """For every sample the row among some that it feeds, or -1; None where one feeds several.

        The gradients of a sample that feeds one row are in proportion to the row's weight.

        Returns:
            Indices of shape (S,), or None.
        """
        weights = self._weights(len(some))
        plain, weighted = local.pulled(some, torch.ones_like(weights)), local.pulled(some, weights)
        squares = plain.square().sum(dim=1)
        feeds = weighted.abs().amax(dim=1) > 0
        share = (plain * weighted).sum(dim=1) / squares.where(squares > 0, 1)
        ordered, order = weights.sort()
        place = torch.searchsorted(ordered, share).clamp(max=len(some) - 1)
        before = (place - 1).clamp(min=0)
        nearest = torch.where((ordered[place] - share).abs() < (ordered[before] - share).abs(), place, before)
        rest = (weighted - ordered[nearest].unsqueeze(1) * plain).abs().amax(dim=1)
        if bool((rest > _ALIKE * weighted.abs().amax(dim=1)).any()):
            return None
        return torch.where(feeds, some.to(order)[order[nearest]], _NONE)


class _LocalGradients:
    """The rows once more, with copies of the parameters, and gradients by these."""

    def __init__(self, model: Network, rows: Rows, parameters: int) -> None:
        self.model = model
        self.parameters = parameters
        copies = SampleCopies(model)
        self.values = rows(copies)
        self.calls = [call for call in copies.calls if len(call[0])]

    def is_small(self) -> bool:
        """Whether the gradients of all samples fit well into memory."""
        return 0 < sum(len(call[0]) for call in self.calls) * self.parameters <= _MOST_NUMBERS

    def pulled(self, some: Tensor, weights: Tensor) -> Tensor:
        """Gradients of a weighted sum of some rows by the free parameters of every sample, (S, P)."""
        seed = torch.zeros_like(self.values).index_put((some.to(self.values.device),), weights)
        flat = [copy for call in self.calls for copy in call]
        grads = iter(torch.autograd.grad(self.values, flat, seed, retain_graph=True, materialize_grads=True))
        names = [name for name, _ in self.model.named_parameters()]
        return torch.cat([gather_gradients(self.model, {name: next(grads) for name in names}) for _ in self.calls])

    def jacobian(self, groups: list[RowGroup]) -> Tensor:
        """All rows, (R, P)."""
        total = self.values.new_zeros((len(self.values), self.parameters))
        for group in groups:
            pulled = self.pulled(group.rows, self.values.new_ones(len(group.rows)))
            feeds = group.of_sample != _NONE
            total.index_add_(0, group.of_sample[feeds], pulled[feeds])
        return total
