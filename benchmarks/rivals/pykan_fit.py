"""Trains pykan by its own recipe; run by benchmarks/paper with an environment of its own. Prints JSON.

L-BFGS on a coarse grid, then on ever finer ones, as in its notebook on scaling. Because most starts get stuck, several
are made on the coarse grid and the best goes on, in float64 and with inputs in [-1, 1]. The best test error along the
way counts, which favours it.
"""

import contextlib
import json
import math
import sys
import tempfile
import time

import numpy as np
import torch
from kan import KAN

COARSE, FINER = 3, (5, 10, 20, 50)
STARTS_SHARE = 0.4  # of the time
START_STEPS = 20
LAST_GRID_UPDATE = 30  # steps


class ShareSpentError(Exception):
    """The time for this grid is over."""


class Watch:
    """Looks at the clock and at the errors after every step of pykan's `fit`; its own time is not counted."""

    def __init__(self, data):
        self.data, self.best, self.curve = data, {"test_rmse": math.inf}, []
        self.started, self.paused, self.until = time.perf_counter(), 0.0, 0.0

    @property
    def spent(self):
        return time.perf_counter() - self.started - self.paused

    def look(self, model):
        spent, before = self.spent, time.perf_counter()
        test, train = (self.error(model, part) for part in ("test", "train"))
        parameters = sum(p.numel() for f in model.act_fun for p in (f.coef, f.scale_base, f.scale_sp))
        if test < self.best["test_rmse"]:
            self.best = {
                "test_rmse": test,
                "train_rmse": train,
                "parameters": parameters,
                "note": f"grid {model.grid}",
            }
            self.curve.append([parameters, spent, test])
        self.paused += time.perf_counter() - before
        if spent > self.until or not math.isfinite(train):
            raise ShareSpentError

    def error(self, model, part):
        with torch.no_grad():
            predicted = model(self.data[f"{part}_inputs"])[:, 0].numpy()
        error = float(np.sqrt(np.mean((predicted - self.data[f"{part}_y"]) ** 2)))
        return error if math.isfinite(error) else math.inf


def read(path):
    """The samples, with inputs in [-1, 1] beside them: pykan's grids begin there."""
    data = dict(np.load(path))
    low, high = data["train_x"].min(0), data["train_x"].max(0)
    for part in ("train", "test"):
        data[f"{part}_inputs"] = torch.tensor(2 * (data[f"{part}_x"] - low) / (high - low) - 1)
    return data


def fit(model, data, watch, until, steps=10**6):
    """pykan's own `fit`, until its share of the time is spent; returns the test error."""
    x, y = data["train_inputs"], torch.tensor(data["train_y"]).unsqueeze(1)
    # pykan evaluates the test set itself at every step: a row of it, so that this costs nothing.
    dataset = {"train_input": x, "train_label": y, "test_input": x[:1], "test_label": y[:1]}
    watch.until = until

    def look():
        watch.look(model)
        return torch.zeros(())

    with contextlib.suppress(ShareSpentError):
        model.fit(dataset, opt="LBFGS", steps=steps, stop_grid_update_step=LAST_GRID_UPDATE, metrics=[look])
    return watch.error(model, "test")


def started(data, watch, width, seed, until, folder):
    """The best of several coarse models."""
    best, lowest = None, math.inf
    while best is None or watch.spent < until:
        options = {"k": 3, "seed": seed, "symbolic_enabled": False, "auto_save": False, "ckpt_path": folder}
        model = KAN(width=width, grid=COARSE, **options)
        error = fit(model, data, watch, until, START_STEPS)
        if best is None or error < lowest:
            best, lowest = model, error
        seed += 1
    return best


def main(path, width, seed, seconds):
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    data = read(path)
    with tempfile.TemporaryDirectory() as folder:
        watch = Watch(data)
        model = started(data, watch, width, seed, STARTS_SHARE * seconds, folder)
        for index, grid in enumerate(FINER, start=1):
            model.save_act = True  # which `fit` turns off, and refining needs
            model.get_act(data["train_inputs"])
            model = model.refine(grid)
            fit(model, data, watch, seconds * (STARTS_SHARE + (1 - STARTS_SHARE) * index / len(FINER)))
    print(json.dumps(watch.best | {"seconds": watch.spent, "curve": watch.curve}))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
