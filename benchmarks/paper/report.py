"""Tables and pictures of what run.py and studies.py measured: `python benchmarks/paper/report.py`.

Writes benchmarks/results/paper.md, the pictures beside it, and the README's block where it has the markers for it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import figures
from cases import Case, tables
from matplotlib.figure import Figure
from report_text import count, error, errors, median, median_of, table, verdict
from rows import Row, Rows
from run import LEAST_BUDGET
from runner import RESULTS
from study import STUDIES

README = Path(__file__).parents[2] / "README.md"
START, END = "<!-- paper -->", "<!-- /paper -->"
SECONDS = 60.0  # what a toy function may take
SHARE = 0.9  # of the seeds that must reach the goal
FACTOR = 100  # below the paper and the rivals
RELATIVE_MEDIAN = 1e-8


@dataclass(frozen=True)
class Line:
    """What was measured of one case."""

    case: Case
    ours: list[Row]
    mlp: float | None
    pykan: float | None

    @property
    def median(self) -> float | None:
        """Edgewise's median over its seeds."""
        return median(errors(self.ours))

    @property
    def ratio(self) -> float | None:
        """How many times lower than the paper's better figure the median is; infinite where it is 0."""
        paper = [figure for figure in (self.case.paper_kan, self.case.paper_mlp) if figure is not None]
        if not paper or self.median is None:
            return None
        return min(paper) / self.median if self.median else math.inf

    def cells(self, met: bool | None) -> list[object]:
        """The line of the table."""
        reached = errors(self.ours)
        seconds, size = (median_of(self.ours, name) for name in ("seconds", "parameters"))
        return [
            self.case.name,
            *map(error, (self.case.goal, self.case.paper_kan, self.case.paper_mlp, self.median)),
            error(max(reached)) if reached else None,
            len(reached),
            None if seconds is None else f"{seconds:.1f}",
            None if size is None else f"{size:.0f}",
            error(self.mlp),
            error(self.pykan),
            None if self.ratio is None else "∞" if math.isinf(self.ratio) else f"{self.ratio:.3g}",
            verdict(met),
        ]


HEADER = [
    "case",
    "goal",
    "paper's KAN",
    "paper's MLP",
    "Edgewise, median",
    "worst",
    "seeds",
    "median s",
    "parameters",
    "MLP",
    "pykan",
    "paper's / median",
    "met",
]


def toy_met(line: Line) -> bool:
    """The goal is reached by nine seeds of ten, and each ends in time."""
    assert line.case.goal is not None
    reached = [value <= line.case.goal for value in errors(line.ours)]
    in_time = all(row["seconds"] is not None and row["seconds"] <= SECONDS for row in line.ours)
    return sum(reached) >= SHARE * len(reached) and in_time


def special_met(line: Line) -> bool | None:
    """A hundredth of the paper's KAN and of each rival; not known before the rivals ran."""
    others = [figure for figure in (line.case.paper_kan, line.mlp, line.pykan) if figure is not None]
    if line.median is None or len(others) < 3:
        return None
    return FACTOR * line.median <= min(others)


def feynman_met(line: Line) -> bool:
    """Below both of the paper's figures."""
    return line.ratio is not None and line.ratio > 1


def special_summary(lines: Sequence[Line]) -> str:
    """The median over the table."""
    middle = median([line.median for line in lines if line.median is not None])
    if middle is None:
        return ""
    return f"Median of the medians: {middle:.1e} (must be at most {RELATIVE_MEDIAN:.0e})."


def feynman_summary(lines: Sequence[Line]) -> str:
    """How many are far below."""
    far = sum(line.ratio is not None and line.ratio >= FACTOR for line in lines)
    return count(far, len(lines), f"are {FACTOR} times below the paper's figures or more (24 of 27 are asked for)")


@dataclass(frozen=True)
class Table:
    """One of the paper's tables in the report."""

    title: str
    about: str
    is_met: Callable[[Line], bool | None]
    summary: Callable[[Sequence[Line]], str]


TABLES = {
    "toy": Table(
        "Toy functions",
        f"Width given. The goal must be reached by {SHARE:.0%} of the seeds, each in at most {SECONDS:.0f} s.",
        toy_met,
        lambda _: "",
    ),
    "special": Table(
        "Special functions",
        f"Width not given; RMSE divided by the rms of y. The median must be {FACTOR} times below the paper's KAN, the "
        "MLP and pykan.",
        special_met,
        special_summary,
    ),
    "feynman": Table(
        "Feynman equations, dimensionless",
        "Width not given. The median must be below the paper's KAN (the better of its two) and MLP.",
        feynman_met,
        feynman_summary,
    ),
}


def read(name: str, cases: Sequence[Case], rows: Rows) -> list[Line]:
    """The cases of a table that were measured."""
    lines = []
    for case in cases:
        ours = rows.of(case.name, "edgewise")
        rivals = (median(errors(rows.of(case.name, rival))) for rival in ("mlp", "pykan"))
        if ours:
            lines.append(Line(case, ours, *rivals))
    return lines


def table_section(name: str, lines: Sequence[Line]) -> str:
    """A table with its verdicts."""
    part = TABLES[name]
    met = [part.is_met(line) for line in lines]
    body = table(HEADER, (line.cells(is_met) for line, is_met in zip(lines, met, strict=True)))
    closing = f"{count(met.count(True), len(met), 'met')} {part.summary(lines)}".strip()
    return f"## {part.title}\n\n{part.about}\n\n{body}\n\n{closing}\n"


def readme_block(lines: dict[str, list[Line]]) -> str:
    """One line per table."""
    header = ["table", "cases", "met", "median of Edgewise", "of the MLP", "of pykan", "of the paper's KAN"]
    body = []
    for name, found in lines.items():
        figures_of = (
            [line.median for line in found],
            [line.mlp for line in found],
            [line.pykan for line in found],
            [line.case.paper_kan for line in found],
        )
        medians = [error(median([value for value in values if value is not None])) for values in figures_of]
        body.append([TABLES[name].title, len(found), [*map(TABLES[name].is_met, found)].count(True), *medians])
    return table(header, body)


def origin(rows: Sequence[Row]) -> str:
    """When, where and by which commands rows were made."""
    dates, machines, commands = (sorted({row[name] for row in rows}) for name in ("date", "machine", "command"))
    span = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"{', '.join(machines)}; {span}; {', '.join(f'`{one}`' for one in commands)}."


def about(rows: Sequence[Row]) -> str:
    """What all tables have in common."""
    return (
        f"# Edgewise on the paper's tables\n\n{origin(rows)}\n\n"
        "float64, one thread for each fit, uniform random samples: 1000 for up to two inputs, 3000 above, 10 000 for\n"
        "the test; nothing is tuned per case. Where the width is given `fit_multilevel` may stop at half the case's\n"
        "goal (`target=`). MLP: the best of a sweep over widths, depths and activations by L-BFGS, chosen by the\n"
        "test error. pykan 0.2.8: the paper's best shape, several starts and growing grids by L-BFGS,\n"
        "the best test error along the way. Both have one seed and as long as Edgewise's median on the case, but no\n"
        f"less than {LEAST_BUDGET:.0f} s. A fit that crashed or hung counts as failed.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the rows")
    parser.add_argument("--output", type=Path, default=RESULTS.parent, help="folder of paper.md and the pictures")
    parser.add_argument("--readme", type=Path, default=README)
    options = parser.parse_args()
    write(options.results, options.output, options.readme)


def write(results: Path, output: Path, readme: Path) -> None:
    """The report of a folder of rows."""
    cases = {name: list(of.values()) for name, of in tables().items()}
    rows = {name: Rows(results / f"{name}.jsonl") for name in (*TABLES, *STUDIES)}
    everything = [row for part in rows.values() for row in part.all()]
    if not everything:
        raise SystemExit(f"{results} has no rows; run benchmarks/paper/run.py first")
    lines = {name: found for name in TABLES if (found := read(name, cases[name], rows[name]))}
    sections = [about(everything), *(table_section(name, found) for name, found in lines.items())]
    output.mkdir(parents=True, exist_ok=True)
    if lines:
        shown = {TABLES[name].title: (cases[name], rows[name]) for name in lines}
        _picture(figures.all_cases(shown), output / "paper_cases.png")
        sections.append("![Errors over parameters and time](paper_cases.png)\n")
    if "toy" in lines:
        _picture(figures.on_the_way([line.case for line in lines["toy"]], rows["toy"]), output / "paper_toy.png")
        sections.append("![The toy functions on the way](paper_toy.png)\n")
    for name, study in STUDIES.items():
        found = rows[name].all()
        if found:
            sections.append(f"## {study.TITLE}\n\n{study.section(found)}\n")
            if hasattr(study, "figure"):
                _picture(study.figure(found), output / f"paper_{name}.png")
                sections.append(f"![{study.TITLE}](paper_{name}.png)\n")
    (output / "paper.md").write_text("\n".join(sections), encoding="utf-8")
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    if START in text and END in text and lines:
        before, _, rest = text.partition(START)
        readme.write_text(f"{before}{START}\n{readme_block(lines)}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def _picture(drawing: Figure, path: Path) -> None:
    drawing.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
