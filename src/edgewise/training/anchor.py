"""What is kept of data that are gone: their loss as a quadratic function of the parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from edgewise.errors import OptionError
from edgewise.network import Network
from edgewise.training.gauss_newton import Linearisation, differentiable_parameters, get_parameters


@dataclass(frozen=True)
class Anchor:
    """The losses of earlier data, summed over their rows, to second order about the parameters c* learned from them.

    With gradient g and Gauss–Newton curvature H it is S + gᵀ(c − c*) + (c − c*)ᵀH(c − c*)/2; for squared errors of one
    output H/2 is ΣJᵀJ, and where c* is their least-squares solution g is 0. Where the outputs are linear in the free
    parameters (one layer, or the inner ones locked) it is no approximation: training on new data with this anchor is
    training on old and new data together. Elsewhere it holds near c*.

    `edgewise.remember` makes anchors, and `edgewise.fit` takes them.

    Args:
        network: a copy of the network as it was; its parameters are c*.
        rows: how many rows are remembered.
        summed: S, g and H.

    Source: Kirkpatrick et al., Overcoming catastrophic forgetting in neural networks (2017), equation 3, here with the
    whole curvature instead of its diagonal and with the gradient; for linear models: recursive least squares.
    """

    network: Network
    rows: int
    summed: Linearisation

    @classmethod
    def prior(cls, model: Network, strength: float) -> Anchor:
        """An anchor before anything is learned: strength·|c − c₀|² about a model's present parameters c₀.

        Args:
            model: the network that is to learn one task after the other.
            strength: compared with a sum of squared errors; small, so that it only decides what data leave open.

        Returns:
            The anchor.

        Raises:
            OptionError: the strength is not positive.

        Example:
            >>> import edgewise as ew
            >>> model = ew.KAN([1, 5, 1])
            >>> ew.Anchor.prior(model, 1e-4).loss(model)
            0.0

        Source: Ritter, Botev and Barber, Online structured Laplace approximations (2018), section 2.
        """
        if not strength > 0:
            raise OptionError(f"the strength of a prior must be positive, got {strength}")
        centre = get_parameters(model)
        curvature = 2 * strength * torch.eye(len(centre), dtype=centre.dtype, device=centre.device)
        return cls.about(model, 0, Linearisation(0.0, torch.zeros_like(centre), curvature))

    @classmethod
    def about(cls, model: Network, rows: int, summed: Linearisation) -> Anchor:
        """An anchor about a model's present parameters; nothing of the data stays with the copy of the model."""
        network = model.copied()
        network.sample = network.sample[:0]
        return cls(network, rows, summed)

    def loss(self, model: Network) -> float:
        """What the mean loss of the remembered rows would be with a model's parameters, to second order."""
        with torch.no_grad():
            return float(self.checked(model).total(model)) / max(self.rows, 1)

    def checked(self, model: Network) -> Anchor:
        """This anchor, or an OptionError where the model has other layers, grids, masks or locked edges."""
        for index, (own, other) in enumerate(zip(self.network.all_layers, model.all_layers, strict=False)):
            if repr(own) != repr(other):
                raise _mismatch(f"layer {index} was\n{own}\nand is\n{other}")
            theirs = dict(other.named_buffers())
            for name, value in own.named_buffers():
                if not torch.equal(value, theirs[name]):
                    raise _mismatch(f"layer {index} differs in {name}")
        if self.network.width != model.width:
            raise _mismatch(f"it remembers {self.network.width}, the model is {model.width}")
        return self

    def times(self, factor: float) -> Anchor:
        """The same in other units."""
        return replace(self, summed=self.summed.times(factor))

    def total(self, model: Network) -> Tensor:
        """Its value at a model's parameters, 0-d, differentiable."""
        return self.summed.at(differentiable_parameters(model) - get_parameters(self.network))

    def linearised(self, model: Network) -> Linearisation:
        """The same quadratic function about a model's parameters."""
        return self.summed.moved(get_parameters(model) - get_parameters(self.network))


def _mismatch(what: str) -> OptionError:
    return OptionError(
        f"the anchor is that of another network: {what}. Refine, prune and lock before the first task, or call "
        "`remember` anew on data of the earlier tasks"
    )
