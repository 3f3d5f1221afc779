"""KANRegressor among scikit-learn's estimators."""

import itertools
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
from edgewise.errors import OptionError, ShapeError

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


def together(regressor, X):
    """Medians of the means of pairs of members, first target."""
    outputs = [model(torch.tensor(X)).detach().numpy()[:, 0] for model in regressor.members_]
    return np.median([(a + b) / 2 for a, b in itertools.combinations_with_replacement(outputs, 2)], axis=0)


def test_far_from_noisy_rows_predictions_stay_near_the_targets_seen():
    rng = np.random.default_rng(1)
    X = rng.uniform(-1, 1, size=(150, 2))
    Y = np.stack([np.exp(X[:, 0]) + X[:, 1], 3 * X[:, 0]], axis=1)
    Y[:, 0] += 0.1 * rng.normal(size=150)
    regressor = KANRegressor(random_state=0, max_time=10).fit(X, Y)
    far = regressor.predict(np.array([[50.0, 50.0], [-50.0, -50.0]]))
    low, high = Y[:, 0].min(), Y[:, 0].max()
    margin = (high - low) / 10
    assert np.all((far[:, 0] >= low - margin) & (far[:, 0] <= high + margin))
    assert regressor.predict(X)[:, 0] == pytest.approx(together(regressor, X))


def test_without_noise_predictions_go_on():
    X = np.random.default_rng(2).uniform(-1, 1, size=(100, 1))
    regressor = KANRegressor(random_state=0, max_time=10).fit(X, 3 * X[:, 0] + 1)
    assert regressor.predict([[20.0]]) == pytest.approx([61.0])


def test_a_law_found_in_noise_goes_on():
    rng = np.random.default_rng(3)
    X = rng.uniform(1, 2, size=(300, 2))
    y = 3 * X[:, 0] * X[:, 1] + 0.05 * rng.normal(size=300)
    regressor = KANRegressor(random_state=0, max_time=20).fit(X, y)
    assert regressor.predict([[10.0, 20.0]]) == pytest.approx([600.0])


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


# ------------------------------------------------------------------------------------------------ intervals


@pytest.fixture(scope="module")
def noisy():
    rng = np.random.default_rng(5)
    X = rng.uniform(-1, 1, (200, 1))
    return X, X[:, 0] ** 2 + 0.1 * rng.normal(size=200)


@pytest.fixture(scope="module")
def noisy_regressor(noisy):
    return KANRegressor(hidden=(), max_time=5, random_state=0).fit(*noisy)


def test_predictions_are_the_consensus_of_the_members():
    rng = np.random.default_rng(4)
    X = rng.uniform(-1, 1, (150, 3))
    y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.8 * rng.standard_normal(150)
    regressor = KANRegressor(max_time=6, random_state=0).fit(X, y)
    assert regressor.members_[0] is regressor.model_
    assert len(regressor.members_) > 1
    assert regressor.notes_[-1].startswith(f"predicted is the consensus of {len(regressor.members_)} networks")
    outputs = together(regressor, X)
    low, high = y.min() - 0.1 * np.ptp(y), y.max() + 0.1 * np.ptp(y)
    np.testing.assert_allclose(regressor.predict(X), np.clip(outputs, low, high), atol=1e-12)


def test_the_ends_of_intervals_have_the_shape_of_the_targets(noisy, noisy_regressor):
    X, y = noisy
    low, high = noisy_regressor.predict_interval(X[:30])
    assert low.shape == high.shape == (30,)
    np.testing.assert_allclose((low + high) / 2, noisy_regressor.predict(X[:30]), atol=1e-12)
    assert np.ptp(high - low) < 1e-12
    assert high[0] > low[0]
    two = KANRegressor(hidden=(), max_time=5, random_state=0).fit(X, np.stack([y, 1e3 * y], axis=1))
    low, high = two.predict_interval(X[:7])
    assert low.shape == high.shape == (7, 2)
    widths = (high - low)[0]  # each target has its own
    assert widths[1] == pytest.approx(1e3 * widths[0], rel=0.05)
    column = KANRegressor(hidden=(), max_time=5, random_state=0).fit(X, y[:, None])
    assert column.predict_interval(X[:7])[0].shape == (7, 1)


def test_half_the_width_is_an_error_of_rows_held_out(noisy, noisy_regressor):
    """Of 40 rows, the 37th of the absolute errors in order: ⌈41·0.9⌉."""
    X, _ = noisy
    errors = np.sort(np.abs(noisy_regressor._residuals[:, 0]))
    assert len(errors) == 40
    low, high = noisy_regressor.predict_interval(X[:1])
    assert (high - low)[0] / 2 == pytest.approx(errors[36], rel=1e-9)
    widths = [np.subtract(*noisy_regressor.predict_interval(X[:1], coverage=c)[::-1])[0] for c in (0.5, 0.9, 0.97)]
    assert widths == sorted(widths)


def test_intervals_hold_as_many_new_measurements_as_they_say():
    shares = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = rng.uniform(-1, 1, (1200, 1))
        y = np.sin(2 * X[:, 0]) + 0.2 * rng.standard_t(4, size=1200)
        regressor = KANRegressor(hidden=(), max_time=3, random_state=seed).fit(X[:400], y[:400])
        low, high = regressor.predict_interval(X[400:], coverage=0.8)
        shares.append(np.mean((low <= y[400:]) & (y[400:] <= high)))
    assert 0.72 < np.mean(shares) < 0.88


@pytest.mark.parametrize("coverage", [0, 1, -0.1, 1.5, float("nan")])
def test_a_coverage_that_is_no_probability_is_refused(coverage, noisy, noisy_regressor):
    with pytest.raises(OptionError, match="between 0 and 1"):
        noisy_regressor.predict_interval(noisy[0], coverage=coverage)


def test_a_coverage_that_too_few_rows_tell_is_refused(noisy, noisy_regressor):
    X, y = noisy
    with pytest.raises(OptionError, match="need 99 held-out rows, a fifth of all; this fit held out 40"):
        noisy_regressor.predict_interval(X, coverage=0.99)
    few = KANRegressor(hidden=(), max_time=2, random_state=0).fit(X[:19], y[:19])
    with pytest.raises(OptionError, match="need 9 held-out rows, a fifth of all; this fit held out 0"):
        few.predict_interval(X, coverage=0.9)
    nine = KANRegressor(hidden=(), max_time=2, random_state=0).fit(X[:45], y[:45])
    low, high = nine.predict_interval(X, coverage=0.9)
    assert bool((low < high).all())
    with pytest.raises(NotFittedError):
        KANRegressor().predict_interval(X)
