"""Plain text in figures: measured before it is drawn, and made to fit.

Names come from users' tables, so a ``$`` is a dollar and an underscore is an underscore: `PLAIN` switches off mathtext
and TeX for a text artist, and everything here measures accordingly.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, TypedDict

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

POINTS_PER_INCH = 72
LINE_SPACING = 1.25  # height of a line of text, in font sizes
ELLIPSIS = "…"
MOST_LETTERS = 200  # in a line, however narrow they are


class PlainText(TypedDict):
    """Keyword arguments of a matplotlib text that is shown letter by letter."""

    parse_math: bool
    usetex: bool


PLAIN: Final[PlainText] = {"parse_math": False, "usetex": False}

_SAFETY = 1.04  # screen renderers round each letter's advance to pixels, so they may draw a little wider than measured


def text_width(text: str, size: float) -> float:
    """Return how wide a line of plain text is.

    Args:
        text: One line.
        size: Font size in points.

    Returns:
        The width in inches, in matplotlib's present font.

    Example:
        >>> text_width("position", 10) > text_width("x", 10) > 0
        True
    """
    points, _, _ = TextToPath().get_text_width_height_descent(text, FontProperties(size=size), ismath=False)
    return _SAFETY * points / POINTS_PER_INCH


def text_height(size: float) -> float:
    """Return the height of a line of text in inches, for a font size in points.

    Example:
        >>> round(text_height(10), 3)
        0.174
    """
    return LINE_SPACING * size / POINTS_PER_INCH


def one_line(text: str) -> str:
    r"""Return the text with line breaks, tabs and other unprintable characters turned into single spaces.

    Example:
        >>> one_line("flow\n[m/s]")
        'flow [m/s]'
    """
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def shorten(text: str, size: float, width: float) -> str:
    """Return the text, its middle replaced by an ellipsis if it is too wide.

    Both ends are kept because the names of a table's columns often differ only in the last letters.

    Args:
        text: One line.
        size: Font size in points.
        width: What there is room for, in inches.

    Returns:
        The text, or as much of its two ends as fits (at least the ellipsis).

    Example:
        >>> short = shorten("longitudinal_position_1", 10, 1.0)
        >>> short.startswith("long"), short.endswith("_1"), "…" in short
        (True, True, True)
    """
    if len(text) > MOST_LETTERS:
        text = _cut(text, MOST_LETTERS)  # measuring takes time for each letter
    if text_width(text, size) <= width:
        return text
    too_many = bisect_left(range(len(text)), True, key=lambda kept: text_width(_cut(text, kept), size) > width)
    return _cut(text, max(too_many - 1, 0))


def _cut(text: str, kept: int) -> str:
    """Return the text without its middle, of which so many letters are kept."""
    return text[: kept // 2] + ELLIPSIS + text[len(text) - (kept - kept // 2) :]


def wrap(text: str, size: float, width: float) -> tuple[str, ...]:
    """Return the text broken at spaces into lines that fit.

    Args:
        text: One line.
        size: Font size in points.
        width: Of a line, in inches.

    Returns:
        The lines; a word that is too wide by itself is shortened. No lines for an empty text.

    Example:
        >>> wrap("drag of a yacht", 10, 100.0)
        ('drag of a yacht',)
    """
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(shorten(word, size, width))
    return tuple(lines)
