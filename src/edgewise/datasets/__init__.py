"""The measured tables that come with Edgewise, as CSV files.

- orbits: mean orbital elements of 59 bodies (planets, moons, satellites): central mass (kg), semi-major axis (km) and
  period (days). Mean elements, so rows stray by up to 0.7 % from Kepler's third law.
- yacht: UCI Yacht Hydrodynamics (CC BY 4.0), 308 rows: shape of the hull and Froude number to residuary resistance.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from edgewise.errors import DataError

__all__ = ["names", "path"]


def names() -> tuple[str, ...]:
    """The names of the bundled tables, in alphabetical order.

    Returns:
        The names, without ".csv".

    Example:
        >>> names()
        ('orbits', 'yacht')
    """
    return tuple(sorted(entry.name.removesuffix(".csv") for entry in _folder().iterdir() if entry.suffix == ".csv"))


def path(name: str) -> Path:
    """The file of a bundled table.

    Args:
        name: one of `names()`, with or without ".csv".

    Returns:
        The path of the CSV file, for `read_table`.

    Raises:
        DataError: there is no such table.

    Example:
        >>> path("orbits").name
        'orbits.csv'
    """
    stem = name.removesuffix(".csv")
    if stem not in names():
        raise DataError(f"there is no bundled table {name!r}; the bundled ones are {', '.join(names())}")
    return _folder() / f"{stem}.csv"


def _folder() -> Path:
    """The folder of this package; wheels are installed unpacked, so it is an ordinary one."""
    return Path(str(files(__name__)))
