"""KANRegressor among scikit-learn's estimators."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sympy
import torch
from matplotlib.figure import Figure
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from edgewise import KAN, BSpline, Chebyshev, KANRegressor
from edgewise.errors import ShapeError

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (80, 2))
Y = np.sin(2 * X[:, 0]) + X[:, 1] ** 2


# One check is skipped by scikit-learn itself, unless SciPy was loaded with SCIPY_ARRAY_API set.
@parametrize_with_checks([KANRegressor(hidden=(), max_time=2)])
def test_conventions_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def framed():
    frame = pd.DataFrame(X, columns=["speed (m/s)", "angle"])
    target = pd.Series(3 * X[:, 0] - X[:, 1] ** 2, name="lift")
    return KANRegressor(hidden=(), max_time=5, random_state=0).fit(frame, target), frame, target


def test_frames_give_their_names(framed):
    regressor, frame, target = framed
    assert list(regressor.feature_names_in_) == ["speed (m/s)", "angle"]
    assert regressor.n_features_in_ == 2
    assert isinstance(regressor.model_, KAN)
    assert regressor.model_.input_names == ("speed (m/s)", "angle")
    assert regressor.score(frame, target) > 1 - 1e-9
    with pytest.raises(ValueError, match="feature names"):
        regressor.predict(frame.rename(columns={"angle": "other"}))
    with pytest.warns(UserWarning, match="feature names"):
        values = regressor.predict(frame.to_numpy())
    np.testing.assert_array_equal(values, regressor.predict(frame))


def test_predictions_are_those_of_the_network(framed):
    regressor, frame, _ = framed
    expected = regressor.model_(torch.tensor(frame.to_numpy())).detach()[:, 0]
    np.testing.assert_array_equal(regressor.predict(frame), expected)
    assert regressor.history_.last["train_loss"] < 1e-6


def test_the_formula_is_in_the_names_of_the_columns(framed):
    """Without data it is the network's own predictions that are named."""
    regressor, frame, target = framed
    named = clone(regressor).fit(frame, target)
    assert named.symbolify(max_time=10) is named
    speed, angle = sympy.Symbol("speed (m/s)"), sympy.Symbol("angle")
    difference = sympy.Poly(named.formula_ - (3 * speed - angle**2), speed, angle)
    assert max(abs(float(c)) for c in difference.coeffs()) < 1e-6
    assert named.discovery_.formula == named.formula_


def test_columns_without_names_are_numbered():
    regressor = KANRegressor(hidden=(), max_time=2, random_state=0).fit(X, 2 * X[:, 1])
    regressor.symbolify(X, 2 * X[:, 1], max_time=5)
    assert regressor.formula_ == 2 * sympy.Symbol("x1")
    assert not hasattr(regressor, "feature_names_in_")


def test_parameters_are_kept_as_they_were_given():
    basis = Chebyshev(degree=4)
    regressor = KANRegressor(hidden=(2, [1, 1]), basis=basis, max_time=3, random_state=7)
    assert regressor.get_params() == {"hidden": (2, [1, 1]), "basis": basis, "max_time": 3, "random_state": 7}
    twin = clone(regressor).set_params(max_time=4, hidden=[3])
    assert (twin.max_time, twin.hidden, twin.basis, twin.random_state) == (4, [3], basis, 7)
    assert regressor.max_time == 3
    assert not hasattr(twin, "model_")


def test_hidden_layers_and_basis_are_those_of_the_network():
    regressor = KANRegressor(hidden=(2, [0, 1]), basis=BSpline(grid=3, degree=2), max_time=1, random_state=0).fit(X, Y)
    assert regressor.model_.width == [2, 2, [0, (2,)], 1]
    bases = {block.basis.degree for layer in regressor.model_.all_layers for block in layer.all_blocks()}
    assert bases == {2}


def test_a_random_state_makes_fits_alike():
    one, two, other = (
        KANRegressor(hidden=(), max_time=30, random_state=state).fit(X, Y).predict(X)
        for state in (3, np.random.RandomState(3), 4)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("shape", [(80,), (80, 1), (80, 2)])
def test_targets_come_back_in_the_shape_that_they_had(shape):
    target = Y if len(shape) == 1 else np.stack([Y, -3 * Y][: shape[1]], axis=1)
    regressor = KANRegressor(hidden=(), max_time=2, random_state=0).fit(X, target)
    predicted = regressor.predict(X[:30])
    assert predicted.shape == (30, *shape[1:])
    np.testing.assert_allclose(predicted, target[:30], atol=0.01)
    assert regressor.score(X, target) > 0.999
    if shape == (80, 2):
        with pytest.raises(ShapeError, match="one target"):
            regressor.symbolify(max_time=2)


def test_cross_validation_and_pipelines():
    regressor = KANRegressor(hidden=(), max_time=2, random_state=0)
    scores = cross_val_score(make_pipeline(StandardScaler(), regressor), X, Y, cv=3)
    assert scores.shape == (3,)
    assert scores.min() > 0.99


def test_a_fitted_estimator_can_be_pickled(framed):
    regressor, frame, _ = framed
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(regressor)).predict(frame), regressor.predict(frame))


def test_a_fitted_estimator_draws_its_network(framed):
    figure = framed[0].plot()
    assert isinstance(figure, Figure)
    assert {"speed (m/s)", "angle"} <= {text.get_text() for text in figure.axes[0].texts}


@pytest.mark.parametrize("method", ["predict", "plot", "symbolify"])
def test_nothing_works_before_the_fit(method):
    regressor = KANRegressor()
    with pytest.raises(NotFittedError):
        getattr(regressor, method)(*([X] if method == "predict" else []))
