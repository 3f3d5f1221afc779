"""Environments of their own for libraries that Edgewise is compared with, made on first use under build/rivals."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

# One after the other: torch first, so that nothing asks for another one.
PACKAGES = {
    "pykan": ["torch==2.13.0", "pykan==0.2.8", "scikit-learn", "matplotlib", "pandas", "tqdm", "pyyaml"],
}
_FOLDER = Path(__file__).parents[2] / "build" / "rivals"


def python_of(rival: str) -> Path:
    """The interpreter of a rival's environment."""
    folder = _FOLDER / rival
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        for package in PACKAGES[rival]:
            subprocess.run([python, "-m", "pip", "install", "--quiet", package], check=True)
        (folder / "ready").touch()
    return python
