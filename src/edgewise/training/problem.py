"""From data and a loss to an objective: what is checked once before anything is trained or remembered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from edgewise.data import as_dataset
from edgewise.errors import DataError, OptionError, ShapeError
from edgewise.network import Network
from edgewise.training.anchor import Anchor
from edgewise.training.losses import CrossEntropy, Loss, ModelLoss
from edgewise.training.objective import CallableObjective, Objective, OutputObjective
from edgewise.training.penalties import Penalty
from edgewise.training.weights import sample_weights


@dataclass(frozen=True)
class DataRows:
    """Inputs (N, I), targets as the loss takes them, and weights (N,); None where there are none."""

    x: Tensor
    y: Tensor | None
    weights: Tensor | None = None

    def __getitem__(self, chosen: Tensor) -> DataRows:
        """Some of the rows, by index or mask."""
        y, weights = (None if part is None else part[chosen] for part in (self.y, self.weights))
        return DataRows(self.x[chosen], y, weights)


def training_rows(model: Network, data: Any, loss: Loss | ModelLoss) -> tuple[Tensor, Tensor | None]:
    """Checked training inputs and targets on the model's device; None where there are no targets."""
    wants_labels = isinstance(loss, CrossEntropy)
    dataset = as_dataset(data, dtype=model.dtype, labels=wants_labels)
    x, y = dataset.train_input, dataset.train_target
    if x.shape[1] != model.in_features:
        raise ShapeError(f"the model has {model.in_features} inputs, got data with {x.shape[1]} columns")
    device = model.sample.device
    missing = y.dim() == 2 and y.shape[1] == 0
    if callable(loss):
        return x.to(device), None if missing else y.to(device)
    if missing:
        raise DataError("got no targets; pass fit(X, y) or a dataset with train_target")
    return x.to(device), loss.check(y, model.out_features).to(device)


def weighted(rows: DataRows, weights: Any, loss: Loss | ModelLoss) -> DataRows:
    """The rows that count, with their weights."""
    if callable(loss):
        raise OptionError(
            "weights go with a named loss or a `Loss`; a callable loss multiplies its residual rows by the roots of "
            "the weights itself"
        )
    checked = sample_weights(weights, rows.x)
    return DataRows(rows.x, rows.y, checked)[checked > 0]


def objective_of(
    model: Network, rows: DataRows, loss: Loss | ModelLoss, penalty: Penalty | None = None, anchor: Anchor | None = None
) -> Objective:
    """What is minimised: the loss on the rows, with what a penalty and an anchor add."""
    if callable(loss):
        return CallableObjective(model, rows.x, rows.y, loss, penalty, anchor)
    assert rows.y is not None
    weights = None if rows.weights is None else rows.weights / rows.weights.mean()
    return OutputObjective(model, rows.x, rows.y, loss, penalty, weights, anchor)
