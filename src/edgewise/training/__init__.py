"""Training: `fit`, solvers, losses, penalties and the history of a fit."""

from edgewise.training.anchor import Anchor
from edgewise.training.fit import Callback, fit, fit_in_search
from edgewise.training.floor import spline_floor
from edgewise.training.history import History, Reason
from edgewise.training.losses import CrossEntropy, Loss, MeanSquaredError, ModelLoss, Poisson, find_loss
from edgewise.training.memory import remember
from edgewise.training.multilevel import fit_multilevel
from edgewise.training.penalties import Penalty, Smoothness, Sparsity, Sum
from edgewise.training.progress import LiveLine
from edgewise.training.solvers import LBFGS, Adam, LevenbergMarquardt, Solver
from edgewise.training.uncertainty import prediction_intervals, standard_errors
from edgewise.training.weights import sample_weights

__all__ = [
    "LBFGS",
    "Adam",
    "Anchor",
    "Callback",
    "CrossEntropy",
    "History",
    "LevenbergMarquardt",
    "LiveLine",
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
    "fit_in_search",
    "fit_multilevel",
    "prediction_intervals",
    "remember",
    "sample_weights",
    "spline_floor",
    "standard_errors",
]
