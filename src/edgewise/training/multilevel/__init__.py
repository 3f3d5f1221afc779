"""Coarse to fine: from many cheap starts on coarse grids to the rounding floor, with nothing to tune."""

from edgewise.training.multilevel.climber import Climber, Contestant, Stage, last_accepted
from edgewise.training.multilevel.fit import EXACT, SHARE_OF_RACE, fit_multilevel, history_of
from edgewise.training.multilevel.race import Starter, race
from edgewise.training.multilevel.rows import Rows, rmse, spread_of
from edgewise.training.multilevel.smoothing import SmoothedObjective
from edgewise.training.multilevel.starts import restarted, thinned, warm_up

__all__ = [
    "EXACT",
    "SHARE_OF_RACE",
    "Climber",
    "Contestant",
    "Rows",
    "SmoothedObjective",
    "Stage",
    "Starter",
    "fit_multilevel",
    "history_of",
    "last_accepted",
    "race",
    "restarted",
    "rmse",
    "spread_of",
    "thinned",
    "warm_up",
]
