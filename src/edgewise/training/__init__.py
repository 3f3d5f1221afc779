"""Training: `fit`, solvers, losses, penalties and the history of a fit."""

from edgewise.training.fit import Callback, fit
from edgewise.training.history import History, Reason
from edgewise.training.losses import CrossEntropy, Loss, MeanSquaredError, ModelLoss, Poisson, find_loss
from edgewise.training.penalties import Penalty, Smoothness, Sparsity, Sum
from edgewise.training.solvers import LBFGS, Adam, LevenbergMarquardt, Solver

__all__ = [
    "LBFGS",
    "Adam",
    "Callback",
    "CrossEntropy",
    "History",
    "LevenbergMarquardt",
    "Loss",
    "MeanSquaredError",
    "ModelLoss",
    "Penalty",
    "Poisson",
    "Reason",
    "Smoothness",
    "Solver",
    "Sparsity",
    "Sum",
    "find_loss",
    "fit",
]
