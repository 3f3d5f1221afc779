"""Environments of their own for libraries that Edgewise is compared with, made on first use under build/rivals."""

from __future__ import annotations

import json
import subprocess
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

# One after the other: torch first, so that nothing asks for another one.
PACKAGES = {
    "pykan": ["torch==2.13.0", "pykan==0.2.8", "scikit-learn", "matplotlib", "pandas", "tqdm", "pyyaml"],
    "pyoperon": ["scikit-learn==1.9.1", "pyoperon==0.6.2"],
    "gplearn": ["scikit-learn==1.9.1", "gplearn==0.4.3"],
    "pysindy": ["scikit-learn==1.9.1", "pysindy==2.1.0"],
}
_SCRIPTS = Path(__file__).parent.parent / "rivals"
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


def answered(rival: str, script: str, arrays: Mapping[str, np.ndarray], options: Mapping[str, Any]) -> dict[str, Any]:
    """What a script of benchmarks/rivals says of arrays: the JSON in the last line that it prints.

    It gets its options as JSON, and among them the "path" of the arrays.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arrays.npz"
        np.savez(path, **arrays)
        program = [python_of(rival), _SCRIPTS / script, json.dumps({"path": str(path), **options})]
        done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"])[-1])
    return json.loads(done.stdout.splitlines()[-1])
