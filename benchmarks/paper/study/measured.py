"""Measured tables: `KANRegressor` against scikit-learn's gradient boosting, both as they come, over five folds."""

from __future__ import annotations

import argparse
import time

import numpy as np
from cases import DATA, rms
from report_text import errors, table, verdict
from rows import Row
from runner import Job
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.model_selection import KFold

import edgewise as ew
from edgewise import datasets

TITLE = "Measured tables"
SEEDS, MAX_TIME = 1, 60.0
FOLDS = 5
TABLES = {"yacht": datasets.path("yacht"), "concrete": DATA / "concrete.csv", "energy": DATA / "energy.csv"}
CONTENDERS = ("edgewise", "boosting")


def jobs(options: argparse.Namespace) -> list[Job]:
    """One per fold; the seed of a row counts the folds, over all shuffles."""
    return [
        Job(
            case=name,
            contender=contender,
            seed=fold,
            function=measure,
            arguments={"name": name, "contender": contender, "fold": fold, "seconds": options.max_time},
            seconds=options.max_time,
        )
        for name in TABLES
        for contender in CONTENDERS
        for fold in range(FOLDS * options.seeds)
    ]


def measure(name: str, contender: str, fold: int, seconds: float) -> Row:
    """The error on one fold; the last column is the target."""
    data = np.loadtxt(TABLES[name], delimiter=",", skiprows=1)
    shuffle, index = divmod(fold, FOLDS)
    train, test = list(KFold(FOLDS, shuffle=True, random_state=shuffle).split(data))[index]
    models = {
        "edgewise": lambda: ew.KANRegressor(random_state=fold, max_time=seconds),
        "boosting": lambda: GradientBoostingRegressor(random_state=fold),
    }
    model, began = models[contender](), time.perf_counter()
    model.fit(data[train, :-1], data[train, -1])
    spent = time.perf_counter() - began
    truth = data[test, -1]
    return {
        "test_rmse": rms(model.predict(data[test, :-1]) - truth),
        "train_rmse": rms(model.predict(data[train, :-1]) - data[train, -1]),
        "seconds": spent,
        "spread": float(truth.std()),
    }


def section(rows: list[Row]) -> str:
    """The table; a fold blows up when its mean would have been the better prediction."""
    lines, won = [], 0
    for name in TABLES:
        ours, theirs = ([row for row in rows if (row["case"], row["contender"]) == (name, who)] for who in CONTENDERS)
        if ours and theirs:
            mine, others = errors(ours), errors(theirs)
            blown = sum(row["test_rmse"] is None or row["test_rmse"] > row["spread"] for row in ours)
            met = rms(np.array(mine)) <= rms(np.array(others))
            won += met
            figures = [f"{value:.4g}" for value in (rms(np.array(mine)), max(mine), rms(np.array(others)), max(others))]
            lines.append([name, len(ours), *figures, blown, verdict(met)])
    rivals = ["Edgewise", "worst fold", "gradient boosting", "worst fold"]
    header = ["table", "folds", *rivals, "folds blown up", "no worse"]
    return (
        f"RMSE over {FOLDS} folds of each shuffle, in the units of the table; must be no worse than gradient boosting\n"
        f"with its default settings on at least two of the three, and no fold may have an error above the spread of\n"
        f"its targets.\n\n"
        f"{table(header, lines)}\n\n{won} of {len(lines)} no worse."
    )
