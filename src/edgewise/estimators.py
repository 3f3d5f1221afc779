"""scikit-learn estimators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from edgewise.basis import Basis
from edgewise.discovery import discover, fit_table
from edgewise.discovery.committee import consensus
from edgewise.errors import OptionError
from edgewise.lazy import LazyModule
from edgewise.network import NodeWidth

if TYPE_CHECKING:
    import sympy
    from matplotlib.figure import Figure
else:
    sympy = LazyModule("sympy")

_SEEDS = 2**31 - 1
_NOISY = 1e-6  # median held-out error, in ranges of the targets, from which predictions are limited
_BEYOND = 0.1  # of the range of the targets


class KANRegressor(RegressorMixin, BaseEstimator):
    """A Kolmogorov–Arnold network as a scikit-learn regressor.

    Where the data are noisy, held-out rows may not tell which of several networks is best; then their consensus is
    predicted, the median of the means of pairs. And predictions stay within the range of the targets, widened by a
    tenth of it: far from all rows a network goes on as straight lines, which may lead anywhere. A formula with at most
    three constants that are not exact goes on as itself, to NaN where it has no value. `model_` is the best network,
    and knows no such limits.

    Args:
        hidden: nodes of the hidden layers, such as (5,); chosen by held-out rows if None.
        basis: function family of every edge, kept as it is; splines of growing resolution if None.
        max_time: seconds after which nothing new is tried.
        random_state: fixes the start and the hold-out; an integer, a RandomState or None.

    Attributes:
        model_: the network, in the units of the data.
        members_: the networks whose consensus is predicted: `model_`, and others where held-out rows cannot tell which
            is best, or that make the consensus better.
        history_: of its training, with a note for everything that was tried.
        notes_: what was chosen, a line each.
        n_features_in_: number of inputs.
        feature_names_in_: their names, where X was a frame.
        formula_: after `symbolify`, the formula in the names and units of the data.
        discovery_: after `symbolify`, all formulas that were found.

    Example:
        >>> import numpy as np
        >>> from edgewise import KANRegressor
        >>> X = np.random.default_rng(0).uniform(size=(200, 2))
        >>> regressor = KANRegressor(random_state=0).fit(X, np.sin(3 * X[:, 0]) + X[:, 1] ** 2)
        >>> regressor.score(X, np.sin(3 * X[:, 0]) + X[:, 1] ** 2) > 0.9999
        True
    """

    def __init__(
        self,
        hidden: Sequence[NodeWidth] | None = None,
        *,
        basis: Basis | None = None,
        max_time: float = 60.0,
        random_state: Any = None,
    ) -> None:
        self.hidden = hidden
        self.basis = basis
        self.max_time = max_time
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the network.

        Args:
            X: inputs, array or frame of shape (N, I).
            y: targets, shape (N,) or (N, O).

        Returns:
            The estimator.

        Raises:
            ValueError: X or y cannot be used.
        """
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, dtype=np.float64, ensure_min_samples=2)
        self._flat = y.ndim == 1
        inputs, targets = torch.tensor(X), torch.tensor(np.asarray(y, dtype=np.float64)).reshape(len(y), -1)
        width = None if self.hidden is None else [X.shape[1], *self.hidden, targets.shape[1]]
        fitted = fit_table(
            inputs,
            targets,
            width=width,
            basis=self.basis,
            max_time=self.max_time,
            seed=int(check_random_state(self.random_state).randint(_SEEDS)),
            input_names=self._names(),
        )
        self.model_ = fitted.model
        self.members_ = fitted.members
        self.history_ = fitted.history
        together = f"predicted is the consensus of {len(self.members_)} networks, likely to be better than any alone"
        self.notes_ = (*fitted.notes, together) if len(self.members_) > 1 else fitted.notes
        self._residuals = fitted.residuals.numpy()
        self._limits = _limits(targets.numpy(), self._residuals, is_law=fitted.is_law)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict targets.

        Args:
            X: inputs, array or frame of shape (N, I).

        Returns:
            Predictions, shape (N,) or (N, O), as the targets were given.

        Raises:
            NotFittedError: `fit` was not called.
            ValueError: X cannot be used.
        """
        check_is_fitted(self, "model_")
        X = validate_data(self, X, reset=False, dtype=np.float64)
        inputs = torch.tensor(X)
        with torch.no_grad():
            together = consensus([model(inputs) for model in self.members_])
        predicted = np.clip(together.numpy(), *self._limits)
        return predicted[:, 0] if self._flat else predicted

    def predict_interval(self, X: Any, *, coverage: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """Intervals that hold new measurements with a given probability.

        Their half width is a quantile of the absolute errors on the rows that were held out, whatever the noise is
        distributed like, as long as new rows are drawn as those of the training were.

        Args:
            X: inputs, array or frame of shape (N, I).
            coverage: the probability, between 0 and 1.

        Returns:
            Lower and upper ends, each of shape (N,) or (N, O), as the targets were given.

        Raises:
            NotFittedError: `fit` was not called.
            OptionError: the coverage is out of range, or more than the number of rows held out can tell.
            ValueError: X cannot be used.

        Example:
            >>> import numpy as np
            >>> from edgewise import KANRegressor
            >>> rng = np.random.default_rng(0)
            >>> X = rng.uniform(size=(400, 1))
            >>> y = X[:, 0] ** 2 + 0.1 * rng.normal(size=400)
            >>> low, high = KANRegressor(random_state=0).fit(X[:300], y[:300]).predict_interval(X[300:])
            >>> bool(0.8 < np.mean((low < y[300:]) & (y[300:] < high)) < 1)
            True

        Source: Lei et al., Distribution-free predictive inference for regression (2018), algorithm 2 (split conformal).
        """
        check_is_fitted(self, "model_")
        if not 0 < coverage < 1:
            raise OptionError(f"the coverage is a probability between 0 and 1, got {coverage}")
        held_out = len(self._residuals)
        rank = int(np.ceil((held_out + 1) * coverage))
        if rank > held_out:
            enough = int(np.ceil(round(coverage / (1 - coverage), 9)))  # 0.9/0.1 is 9, but for its last digit
            raise OptionError(
                f"intervals of coverage {coverage} need {enough} held-out rows, "
                f"a fifth of all; this fit held out {held_out}"
            )
        half = np.sort(np.abs(self._residuals), axis=0)[rank - 1]
        predicted = self.predict(X)
        half = half[0] if self._flat else half
        return predicted - half, predicted + half

    def plot(self) -> Figure:
        """The diagram of the fitted network.

        Returns:
            The figure.

        Raises:
            NotFittedError: `fit` was not called.
        """
        check_is_fitted(self, "model_")
        return self.model_.plot()

    def symbolify(self, X: Any = None, y: Any = None, *, max_time: float = 60.0) -> Self:
        """Look for a formula; sets `formula_` and `discovery_`.

        Args:
            X: inputs, array or frame of shape (N, I); the sample that the network keeps if not given.
            y: target, shape (N,); the network's predictions if not given, which are free of noise.
            max_time: seconds after which nothing new is tried.

        Returns:
            The estimator.

        Raises:
            NotFittedError: `fit` was not called.
        """
        check_is_fitted(self, "model_")
        inputs = (
            self.model_.sample if X is None else torch.tensor(validate_data(self, X, reset=False, dtype=np.float64))
        )
        with torch.no_grad():
            target = self.model_(inputs) if y is None else torch.tensor(np.asarray(y, dtype=np.float64))
        seed = int(check_random_state(self.random_state).randint(_SEEDS))
        self.discovery_ = discover(inputs, target, names=self._names(), max_time=max_time, seed=seed)
        self.formula_: sympy.Expr = self.discovery_.formula
        return self

    def _names(self) -> list[str] | None:
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else [str(name) for name in names]

    def __sklearn_tags__(self) -> Any:
        """Several targets are fine."""
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output = True
        tags.target_tags.multi_output = True
        return tags


def _limits(targets: np.ndarray, residuals: np.ndarray, *, is_law: bool) -> tuple[np.ndarray, np.ndarray]:
    """Between what predictions are kept, each of shape (O,); infinite for a law, and where nothing speaks of noise."""
    low, high = targets.min(axis=0), targets.max(axis=0)
    span = high - low
    if is_law or not len(residuals):
        return np.full_like(span, -np.inf), np.full_like(span, np.inf)
    is_noisy = np.median(np.abs(residuals), axis=0) > _NOISY * span
    return np.where(is_noisy, low - _BEYOND * span, -np.inf), np.where(is_noisy, high + _BEYOND * span, np.inf)
