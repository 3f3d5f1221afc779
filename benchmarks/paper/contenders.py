"""Who is compared: each trains on a case's samples for at most some seconds and returns the rest of its row.

A row has test_rmse, train_rmse, seconds, parameters, a note, and the curve: [parameters, seconds, rmse] along the way.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from cases import Case, Samples, tables
from environments import answered
from mlp import mlp
from rows import Row

import edgewise as ew

Contender = Callable[[Case, Samples, int, float], Row]


def edgewise(case: Case, samples: Samples, seed: int, seconds: float) -> Row:
    """The public API: `fit_multilevel` where the case gives a width, else `KANRegressor`."""
    return (found_width if case.shape is None else given_width)(case, samples, seed, seconds)


def given_width(case: Case, samples: Samples, seed: int, seconds: float) -> Row:
    """`fit_multilevel`, which may stop when the validation error is well below the case's goal."""
    assert case.shape is not None
    assert case.goal is not None
    model = ew.KAN(list(case.shape), domain=list(case.ranges), seed=seed)
    data = torch.tensor(samples.train_x), torch.tensor(samples.train_y)
    start = time.perf_counter()
    model, history = ew.fit_multilevel(model, data, target=case.goal / 2, max_time=seconds, seed=seed)
    spent = time.perf_counter() - start

    def predict(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(torch.tensor(x))[:, 0].numpy()

    return scored(case, samples, predict, spent) | described(model, history)


def found_width(case: Case, samples: Samples, seed: int, seconds: float) -> Row:
    """`KANRegressor` as it comes."""
    regressor = ew.KANRegressor(random_state=seed, max_time=seconds)
    start = time.perf_counter()
    regressor.fit(samples.train_x, samples.train_y)
    spent = time.perf_counter() - start
    return scored(case, samples, regressor.predict, spent) | described(regressor.model_, regressor.history_)


def pykan(case: Case, samples: Samples, seed: int, seconds: float) -> Row:
    """pykan of PyPI with the shape that the paper found best."""
    arrays = {name: getattr(samples, name) for name in ("train_x", "train_y", "test_x", "test_y")}
    options = {"width": case.paper_shape, "seed": seed, "seconds": seconds}
    row = answered("pykan", "pykan_fit.py", arrays, options)
    scale = case.scale(samples.test_y)
    in_units = {name: row[name] / scale for name in ("test_rmse", "train_rmse")}
    return row | in_units | {"curve": [[size, spent, error / scale] for size, spent, error in row["curve"]]}


def scored(case: Case, samples: Samples, predict: Callable[[np.ndarray], np.ndarray], seconds: float) -> Row:
    """The errors of a trained network."""
    return {
        "test_rmse": case.error(predict(samples.test_x), samples.test_y),
        "train_rmse": case.error(predict(samples.train_x), samples.train_y),
        "seconds": seconds,
    }


def described(model: ew.KAN, history: ew.History) -> Row:
    """The size of a trained network, and how its training went."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    note = f"{model.width}, {len(history)} rows, {history.reason}"
    return {"parameters": parameters, "note": note, "curve": _curve(history, parameters)}


def _curve(history: ew.History, parameters: int) -> list[list[float]]:
    """Points along the way, by the held-out error where there is one."""
    points = []
    for row in history:
        loss = row["train_loss"] if row.get("validation_loss") is None else row["validation_loss"]
        if loss is not None and math.isfinite(loss):
            points.append([row.get("parameters") or parameters, row["time"], math.sqrt(loss)])
    return points


CONTENDERS: dict[str, Contender] = {"edgewise": edgewise, "mlp": mlp, "pykan": pykan}


def measure(table: str, name: str, contender: str, seed: int, seconds: float) -> Row:
    """One row of a table."""
    case = tables()[table][name]
    return CONTENDERS[contender](case, case.samples(seed), seed, seconds)
