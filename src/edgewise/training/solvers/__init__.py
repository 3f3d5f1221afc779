"""Solvers: one file each, one protocol."""

from edgewise.training.solvers.adam import Adam
from edgewise.training.solvers.lbfgs import LBFGS
from edgewise.training.solvers.levenberg_marquardt import LevenbergMarquardt, minimise
from edgewise.training.solvers.solver import Run, Solver, Step

__all__ = ["LBFGS", "Adam", "LevenbergMarquardt", "Run", "Solver", "Step", "minimise"]
