"""Runs pyoperon on arrays x and y; run by benchmarks/symbolic with an environment of its own. Prints JSON.

As in SRBench: R² and length are the objectives, constants are optimised, the root mean square error of a random
forest stands for the noise, and of the front the formula of least description length is taken. SRBench tunes the
functions; here they are its largest set, with squares and tanh. One run follows another, each with another seed,
until the time is over or the error is at the rounding of single precision, in which Operon computes.
"""

import json
import sys
import time

import numpy as np
from pyoperon.sklearn import SymbolicRegressor
from sklearn.ensemble import RandomForestRegressor

SYMBOLS = "add,sub,mul,div,pow,square,sqrt,exp,log,sin,cos,tanh,constant,variable"
ROUNDING = 1e-6  # relative
DIGITS = 17
FOREST_SHARE = 0.1  # of the time, about


def noise(x, y, seconds):
    """SRBench's estimate of the noise, with as many trees as fit into its share of the time."""
    forest = RandomForestRegressor(n_estimators=1, warm_start=True, random_state=0, n_jobs=1)
    began = time.perf_counter()
    while True:
        forest.fit(x, y)
        if forest.n_estimators == 100 or time.perf_counter() - began > FOREST_SHARE * seconds:
            return float(np.sqrt(np.mean((forest.predict(x) - y) ** 2)))
        forest.n_estimators += 1


def main(path, seed, seconds):
    data = np.load(path)
    x, y = data["x"], data["y"]
    began = time.perf_counter()
    names = [f"x{index}" for index in range(x.shape[1])]
    sigma, best, runs = noise(x, y, seconds), None, 0
    left = seconds - (time.perf_counter() - began)
    while best is None or (left >= 1 and best["mean_squared_error"] > (ROUNDING * np.std(y)) ** 2):
        regressor = SymbolicRegressor(
            allowed_symbols=SYMBOLS,
            objectives=["r2", "length"],
            optimizer_iterations=1,
            uncertainty=[sigma],
            n_threads=1,
            max_time=max(1, int(left)),
            generations=10**6,
            random_state=seed + 1000 * runs,
        )
        regressor.fit(x, y)
        runs += 1
        for one in regressor.pareto_front_:
            if best is None or one["minimum_description_length"] < best["minimum_description_length"]:
                best = one | {
                    "text": regressor.get_model_string(one["tree"], DIGITS, names).replace("^", "**"),
                    "predicted": regressor.evaluate_model(one["tree"], data["test_x"]).ravel().tolist(),
                }
        left = seconds - (time.perf_counter() - began)
    answer = {"formula": best["text"], "predicted": best["predicted"], "seconds": time.perf_counter() - began}
    print(json.dumps(answer | {"note": f"{runs} runs"}))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
