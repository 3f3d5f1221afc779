"""What a solver minimises: a loss on data plus a penalty, as a function of a network's free parameters."""

from __future__ import annotations

import abc
import math
from typing import Any

import torch
from torch import Tensor, nn

from edgewise.errors import OptionError
from edgewise.network import Network
from edgewise.training.anchor import Anchor
from edgewise.training.conjugate_gradients import IterativeModel
from edgewise.training.dual import DualModel
from edgewise.training.gauss_newton import (
    Linearisation,
    QuadraticModel,
    accumulate,
    block_slices,
    gather_gradients,
    get_parameters,
    set_parameters,
)
from edgewise.training.jacobian import Jacobian
from edgewise.training.losses import Loss, ModelLoss
from edgewise.training.penalties import Penalty
from edgewise.training.row_jacobian import RowJacobian

_ROWS_AT_A_TIME = 256
_FEW_PARAMETERS = 500  # up to here a curvature matrix is quick, whatever the data
MOST_DENSE_PARAMETERS = 3000  # of a curvature matrix
_MOST_DENSE_SAMPLES = 200_000
_MOST_DUAL_ROWS = 4000


class Objective(abc.ABC):
    """A loss on data plus a penalty.

    Args:
        model: the network whose parameters are trained.
        x: inputs, shape (N, I).
        penalty: what is added to the loss, or None.
        anchor: earlier data, also added, or None; in units of the loss.
    """

    def __init__(self, model: Network, x: Tensor, penalty: Penalty | None, anchor: Anchor | None = None) -> None:
        self.model = model
        self.x = x
        self.penalty = penalty
        self.anchor = anchor

    @abc.abstractmethod
    def loss(self) -> Tensor:
        """The loss alone, 0-d, differentiable."""

    @abc.abstractmethod
    def loss_linearised(self) -> Linearisation:
        """The loss near the present parameters."""

    @abc.abstractmethod
    def batch(self, rows: Tensor) -> Objective:
        """The same on some of the rows."""

    def penalty_value(self) -> Tensor:
        """What penalty and anchor add, 0-d, differentiable; zero where there is neither."""
        penalty = self._penalty()
        return penalty if self.anchor is None else penalty + self.anchor.total(self.model)

    def _penalty(self) -> Tensor:
        """The penalty alone, 0-d, differentiable."""
        if self.penalty is None:
            return self.x.new_zeros(())
        return self.penalty(self.model, self.model.trace(self.x))

    def total(self) -> Tensor:
        """Loss and penalty, 0-d, differentiable."""
        return self.loss() if self.penalty is None and self.anchor is None else self.loss() + self.penalty_value()

    @torch.no_grad()
    def value(self) -> float:
        """Loss and penalty as a number."""
        return float(self.total())

    @property
    def parameters(self) -> Tensor:
        """The free parameters, shape (P,)."""
        return get_parameters(self.model)

    @parameters.setter
    def parameters(self, values: Tensor) -> None:
        set_parameters(self.model, values)

    def suits_second_order(self) -> bool:
        """Whether steps by the curvature are worth their cost."""
        return len(self.parameters) <= MOST_DENSE_PARAMETERS and len(self.x) <= _MOST_DENSE_SAMPLES

    def linearise(self) -> QuadraticModel:
        """Loss and penalty near the present parameters."""
        near = self.loss_linearised()
        if self.anchor is not None:
            near = near.plus(self.anchor.linearised(self.model))
        if self.penalty is None:
            return near
        value, gradient, matrices = self.penalty_linearised(self.penalty)
        start = 0
        for own in matrices:
            edges, size = own.shape[:2]
            columns = start + torch.arange(edges * size, device=own.device).view(edges, size)
            near.curvature[columns.unsqueeze(2), columns.unsqueeze(1)] += own
            start += edges * size
        return Linearisation(near.value + value, near.gradient + gradient, near.curvature)

    def penalty_linearised(self, penalty: Penalty) -> tuple[float, Tensor, list[Tensor]]:
        """Value, gradient (P,), and for every block the curvatures of its free edges, (E, K, K)."""
        with torch.enable_grad():
            value = self._penalty()
            gradient = self._gradient(value)
        with torch.no_grad():
            trace = self.model.trace(self.x)
            matrices = [
                penalty.curvature(layer, block, trace.layers[index])
                for layer, index, block, _ in block_slices(self.model)
            ]
        return float(value.detach()), gradient, matrices

    def _gradient(self, value: Tensor) -> Tensor:
        """The gradient of a 0-d tensor by the free parameters, shape (P,); zero where it depends on none."""
        if not value.requires_grad:
            return torch.zeros_like(self.parameters)
        named = dict(self.model.named_parameters())
        grads = torch.autograd.grad(value, list(named.values()), allow_unused=True)
        return gather_gradients(self.model, dict(zip(named, grads, strict=True)))


class OutputObjective(Objective):
    """A `Loss` of the outputs: its Jacobian comes from the network's structure.

    Args:
        model: the network whose parameters are trained.
        x: inputs, shape (N, I).
        target: as the loss takes it.
        loss: of the outputs.
        penalty: what is added to the loss, or None.
        weights: what each sample counts, shape (N,), of mean one over all samples; all the same if None. Batches keep
            them as they are, so that the mean of the batches' losses is that of all samples.
        anchor: earlier data, also added, or None; in units of the loss.
    """

    def __init__(
        self,
        model: Network,
        x: Tensor,
        target: Tensor,
        loss: Loss,
        penalty: Penalty | None,
        weights: Tensor | None = None,
        anchor: Anchor | None = None,
    ) -> None:
        super().__init__(model, x, penalty, anchor)
        self.target = target
        self.loss_of_outputs = loss
        self.weights = weights

    def loss(self) -> Tensor:
        """See `Objective.loss`."""
        return self._mean_loss(self.model(self.x))

    @torch.no_grad()
    def loss_linearised(self) -> Linearisation:
        """See `Objective.loss_linearised`."""
        output = self.model(self.x)
        gradient, curvature = accumulate(self.model, self.x, *self._rows(output))
        return Linearisation(float(self._mean_loss(output)), gradient, curvature)

    def suits_second_order(self) -> bool:
        """See `Objective.suits_second_order`."""
        return self._has_few_rows() or super().suits_second_order()

    def linearise(self) -> QuadraticModel:
        """See `Objective.linearise`: by the quadratic model that is quickest for so many parameters and rows."""
        if self._has_few_rows():
            return self.dual_model()
        # An anchor is a matrix of the parameters' size already.
        is_dense = len(self.parameters) <= MOST_DENSE_PARAMETERS or self.anchor is not None
        return super().linearise() if is_dense else self.iterative_model()

    def _has_few_rows(self) -> bool:
        """Whether a matrix of the rows' size is better; penalties and anchors need that of the parameters' size."""
        parameters, rows = len(self.parameters), len(self.x) * self.model.out_features
        if self.penalty is not None or self.anchor is not None or parameters <= _FEW_PARAMETERS:
            return False
        return rows <= (_MOST_DUAL_ROWS if parameters > MOST_DENSE_PARAMETERS else parameters // 2)

    @torch.no_grad()
    def dual_model(self) -> DualModel:
        """The loss alone near the present parameters, for fewer rows than parameters."""
        return DualModel(*self._jacobian())

    @torch.no_grad()
    def iterative_model(self) -> IterativeModel:
        """Loss and penalty near the present parameters, without a matrix of their size."""
        value, jacobian, rows = self._jacobian()
        gradient = jacobian.transposed_times(rows)
        if self.penalty is None:
            return IterativeModel(value, gradient, jacobian)
        more, of_penalty, matrices = self.penalty_linearised(self.penalty)
        return IterativeModel(value + more, gradient + of_penalty, jacobian, matrices)

    def _jacobian(self) -> tuple[float, Jacobian, Tensor]:
        """The loss, J of the scaled rows, and ρ scaled alike, (N, R)."""
        output = self.model(self.x)
        factor, rows = self._rows(output)
        return float(self._mean_loss(output)), Jacobian(self.model, self.x, factor), rows / math.sqrt(len(rows))

    def batch(self, rows: Tensor) -> OutputObjective:
        """See `Objective.batch`."""
        weights = None if self.weights is None else self.weights[rows]
        return OutputObjective(
            self.model, self.x[rows], self.target[rows], self.loss_of_outputs, self.penalty, weights, self.anchor
        )

    def _mean_loss(self, output: Tensor) -> Tensor:
        if self.weights is None:
            return self.loss_of_outputs.value(output, self.target)
        return (self.weights * self.loss_of_outputs.per_sample(output, self.target)).mean()

    def _rows(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """The loss's factors, (N, O, R), and rows, (N, R), scaled by the roots of the weights."""
        factor, rows = self.loss_of_outputs.rows(output, self.target)
        if self.weights is None:
            return factor, rows
        root = self.weights.sqrt()
        return root[:, None, None] * factor, root[:, None] * rows


class CallableObjective(Objective):
    """A callable of (model, batch) that returns a 0-d loss or 1-d residual rows, whose mean square is the loss."""

    def __init__(
        self,
        model: Network,
        x: Tensor,
        target: Tensor | None,
        loss: ModelLoss,
        penalty: Penalty | None,
        anchor: Anchor | None = None,
    ) -> None:
        super().__init__(model, x, penalty, anchor)
        self.target = target
        self.function = loss
        self.local_jacobian = RowJacobian(model, self._evaluate)

    @property
    def _data(self) -> Any:
        return self.x if self.target is None else (self.x, self.target)

    def suits_second_order(self) -> bool:
        """See `Objective.suits_second_order`: only residual rows have a curvature."""
        return super().suits_second_order() and self.has_rows()

    def has_rows(self) -> bool:
        """Whether the callable returns residual rows."""
        return self._evaluate().dim() == 1

    def value(self) -> float:
        """See `Objective.value`; physics losses need autograd inside."""
        with torch.enable_grad():
            return float(self.total().detach())

    def loss(self) -> Tensor:
        """See `Objective.loss`."""
        result = self._evaluate()
        return result if result.dim() == 0 else result.square().mean()

    def loss_linearised(self) -> Linearisation:
        """See `Objective.loss_linearised`; rows are differentiated all at once where they are local, else in turn.

        Returns:
            Value, gradient and curvature.

        Raises:
            OptionError: the callable returns a scalar, which has no Gauss–Newton curvature.
        """
        with torch.enable_grad():
            rows, jacobian = self.local_jacobian() or self._jacobian_in_turn()
        scale = 2 / len(rows)
        return Linearisation(float(rows.square().mean()), scale * (jacobian.T @ rows), scale * (jacobian.T @ jacobian))

    def _jacobian_in_turn(self) -> tuple[Tensor, Tensor]:
        """Rows (R,) and Jacobian (R, P) by a backward pass for each row, many at a time."""
        rows = self._evaluate()
        if rows.dim() == 0:
            raise OptionError(
                "Levenberg–Marquardt needs residual rows: return a 1-d tensor from the loss, or use solver=LBFGS()"
            )
        named = dict(self.model.named_parameters())
        identity = torch.eye(len(rows), dtype=rows.dtype, device=rows.device)
        jacobian = torch.cat([self._pulled(rows, part, named) for part in identity.split(_ROWS_AT_A_TIME)])
        return rows.detach(), jacobian

    def _pulled(self, rows: Tensor, seeds: Tensor, named: dict[str, nn.Parameter]) -> Tensor:
        grads = torch.autograd.grad(
            rows, list(named.values()), seeds, is_grads_batched=True, retain_graph=True, allow_unused=True
        )
        return gather_gradients(self.model, dict(zip(named, grads, strict=True)))

    def _evaluate(self, model: Any = None) -> Tensor:
        result = self.function(self.model if model is None else model, self._data)
        if not isinstance(result, Tensor) or result.dim() > 1:
            shape = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise OptionError(f"a loss returns a 0-d tensor or 1-d residual rows, got {shape}")
        return result

    def batch(self, rows: Tensor) -> CallableObjective:
        """See `Objective.batch`."""
        target = None if self.target is None else self.target[rows]
        return CallableObjective(self.model, self.x[rows], target, self.function, self.penalty, self.anchor)
