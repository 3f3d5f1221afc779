"""Runs gplearn on arrays x and y; run by benchmarks/symbolic with an environment of its own. Prints JSON.

The settings are SRBench's, with exp among the functions. gplearn counts generations and knows no time limit: one
generation after the other is added until the next one would not end in time.
"""

import json
import sys
import time

import numpy as np
from gplearn.functions import make_function
from gplearn.genetic import SymbolicRegressor

LARGEST_EXPONENT = 50.0
FORMS = {  # what gplearn calls a function, and what it is
    "add": "({} + {})",
    "sub": "({} - {})",
    "mul": "({} * {})",
    "div": "protected_div({}, {})",
    "sqrt": "sqrt(abs({}))",
    "log": "protected_log({})",
    "sin": "sin({})",
    "cos": "cos({})",
    "exp": "exp({})",
}


def bounded_exp(value):
    return np.exp(np.minimum(value, LARGEST_EXPONENT))


def written(program):
    """A program, which gplearn keeps in prefix order, as a formula with all digits."""
    waiting = []
    for node in reversed(program):
        if hasattr(node, "arity"):
            waiting.append(FORMS[node.name].format(*(waiting.pop() for _ in range(node.arity))))
        else:
            waiting.append(f"x{node}" if isinstance(node, int) else f"({float(node)!r})")
    return waiting.pop()


def main(path, seed, seconds):
    data = np.load(path)
    exp = make_function(function=bounded_exp, name="exp", arity=1)
    began = time.perf_counter()
    regressor = SymbolicRegressor(
        population_size=1000,
        generations=1,
        tournament_size=20,
        p_crossover=0.9,
        p_subtree_mutation=0.01,
        p_hoist_mutation=0.01,
        p_point_mutation=0.01,
        function_set=[exp if name == "exp" else name for name in FORMS],
        warm_start=True,
        low_memory=True,
        n_jobs=1,
        random_state=seed,
    )
    spent = last = 0.0
    while regressor.generations == 1 or spent + last <= seconds:
        regressor.fit(data["x"], data["y"])
        regressor.generations += 1
        last, spent = time.perf_counter() - began - spent, time.perf_counter() - began
        if regressor._program.raw_fitness_ == 0:
            break
    answer = {"formula": written(regressor._program.program), "predicted": regressor.predict(data["test_x"]).tolist()}
    print(json.dumps(answer | {"seconds": spent, "note": f"{regressor.generations - 1} generations"}))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
