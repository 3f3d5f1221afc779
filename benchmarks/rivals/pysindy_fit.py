"""Runs pysindy on arrays x and y; run by benchmarks/symbolic with an environment of its own. Prints JSON.

Its libraries of functions and its sequentially thresholded least squares, on y = f(x) in the place of a derivative:
polynomials up to the third degree, sin and cos of each input and of twice, and 1/x, exp, and where inputs are positive
the square root and log. Threshold and ridge are chosen by the error on a fifth of the rows, which are held out; of
those that are about as good, the ones that leave the fewest terms.
"""

import json
import sys
import time
import warnings
from itertools import product

import numpy as np
import pysindy as ps

THRESHOLDS = np.geomspace(1e-4, 30, 16)  # relative to the norm of y, as columns have norm 1
RIDGES = (0.05, 0.0)  # pysindy's, which chooses among columns that are much alike, and none
AS_GOOD = 1.05
ROUNDING = 1e-9  # of the spread of y
LARGEST_EXPONENT = 50.0


def library(x):
    """Functions of the inputs, all of which have values on the rows."""
    ones = [(np.reciprocal, "1/{}")] if np.abs(x).min() > 0 else []
    if x.max() < LARGEST_EXPONENT:
        ones.append((np.exp, "exp({})"))
    if x.min() > 0:
        ones += [(np.sqrt, "sqrt({})"), (np.log, "log({})")]
    of_one = ps.CustomLibrary(
        library_functions=[of_python(function) for function, _ in ones],
        function_names=[text.format for _, text in ones],
    )
    return ps.ConcatLibrary([ps.PolynomialLibrary(degree=3), ps.FourierLibrary(n_frequencies=2), of_one])


def of_python(function):
    """The same function, written in Python: pysindy looks for the number of its arguments."""

    def same(value):
        return function(value)

    return same


def coefficients(columns, y, threshold, ridge):
    """Sparse least squares; columns are brought to norm 1 before and back after."""
    norms = np.linalg.norm(columns, axis=0)
    optimizer = ps.STLSQ(threshold=threshold * np.linalg.norm(y), alpha=ridge, max_iter=50)
    optimizer.fit(columns / norms, y[:, None])
    return np.asarray(optimizer.coef_).ravel() / norms


def main(path, seed, seconds):
    warnings.simplefilter("ignore")  # a threshold above all coefficients is one
    data = np.load(path)
    x, y = data["x"], data["y"]
    began = time.perf_counter()
    functions = library(x)
    columns = np.asarray(functions.fit_transform(x))
    held = np.zeros(len(y), dtype=bool)
    held[np.random.default_rng(seed).permutation(len(y))[: len(y) // 5]] = True
    tried = []
    for setting in product(THRESHOLDS, RIDGES):
        found = coefficients(columns[~held], y[~held], *setting)
        error = np.sqrt(np.mean((columns[held] @ found - y[held]) ** 2))
        tried.append((error, np.count_nonzero(found), setting))
        if time.perf_counter() - began > seconds:
            break
    enough = AS_GOOD * min(error for error, _, _ in tried) + ROUNDING * np.std(y)
    _, setting = min((terms, setting) for error, terms, setting in tried if error <= enough)
    names = functions.get_feature_names([f"x{index}" for index in range(x.shape[1])])
    found = coefficients(columns, y, *setting)
    spent = time.perf_counter() - began
    terms = [
        f"({float(value)!r})*{name.replace('^', '**').replace(' ', '*')}"
        for value, name in zip(found, names, strict=True)
        if value != 0
    ]
    predicted = (np.asarray(functions.transform(data["test_x"])) @ found).tolist()
    answer = {"formula": " + ".join(terms) or "0", "predicted": predicted, "seconds": spent}
    print(json.dumps(answer | {"note": f"{len(terms)} of {len(names)} terms"}))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
