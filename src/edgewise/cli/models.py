"""Finding the model that a command was pointed to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import edgewise
from edgewise.errors import ModelFileError

if TYPE_CHECKING:
    from edgewise.kan import KAN

MODEL_FILE = "model.kan"


def load_model(path: str) -> KAN:
    """Load the model of a run.

    Args:
        path: a folder that `fit` or `discover` wrote, or a model file.

    Returns:
        The model.

    Raises:
        ModelFileError: there is none, or it cannot be read.
    """
    if not Path(path).is_dir():
        return edgewise.load(path)
    file = Path(path) / MODEL_FILE
    if not file.exists():
        raise ModelFileError(
            f"{path}: there is no {MODEL_FILE} in this folder; expected one that edgewise fit or discover wrote, "
            "or a model file"
        )
    return edgewise.load(file)
