"""The table of recovery rates, from the rows of recover.py and rivals.py: results/symbolic.md, and the README's block.

python benchmarks/symbolic/summary.py
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "paper"))  # the rows and the text of tables are the same

from problems import RANDOM, TABLES
from recover import RESULTS
from report_text import error, errors, figure_of, median, table
from rows import Row, Rows

from rivals import FILE, RIVALS

README = Path(__file__).parents[2] / "README.md"
START, END = "<!-- symbolic -->", "<!-- /symbolic -->"
NAMES = {
    "feynman100": "100 Feynman equations",
    "published": "Nguyen, Keijzer, Livermore, Jin",
    "random": "random expressions",
}
BOUNDS = {
    ("feynman100", 0.0): 0.90,
    ("feynman100", 0.01): 0.75,
    ("feynman100", 0.1): 0.50,
    ("published", 0.0): 0.85,
    ("published", 0.01): 0.60,
    ("random", 0.0): 0.70,
    ("random", 0.01): 0.50,
}


def rates(rows: dict[str, list[Row]]) -> str:
    """A line for each table and level of noise."""
    lines = []
    for name, mine in rows.items():
        for noise in sorted({row["noise"] for row in mine if "noise" in row}):
            some = [row for row in mine if row["contender"] == f"edgewise {noise:g}"]
            exact, strict = (sum(bool(row.get(rule)) for row in some) / len(some) for rule in ("exact", "strict"))
            times = [row["seconds"] for row in some if row["seconds"] is not None]
            bound = BOUNDS.get((name, noise))
            met = None if bound is None else "yes" if exact >= bound else "NO"
            wanted = None if bound is None else f"{bound:.0%}"
            seconds = [f"{value:.1f}" for value in (statistics.median(times), max(times))] if times else [None, None]
            seeds = len({row["seed"] for row in some})
            found = [f"{rate:.0%}" for rate in (exact, strict)]
            lines.append([NAMES[name], f"{noise:g}", len(some), seeds, *found, wanted, met, *seconds])
    header = ["set", "noise", "runs", "seeds", "exact", "strict", "wanted", "met", "median s", "longest s"]
    return table(header, lines)


def beside(rows: dict[str, list[Row]], rivals: list[Row]) -> str:
    """A line for each program and level of noise, on the runs that the rivals were asked for."""
    known = [row for mine in rows.values() for row in mine] + rivals
    lines = []
    for noise in sorted({row["noise"] for row in rivals if "noise" in row}):
        contenders = {name: f"{name} {noise:g}" for name in ("edgewise", *RIVALS)}
        asked = {(row["case"], row["seed"]) for row in rivals if row["contender"] in contenders.values()}
        for name, contender in contenders.items():
            some = [row for row in known if row["contender"] == contender and (row["case"], row["seed"]) in asked]
            if some:
                found = [f"{sum(bool(row.get(rule)) for row in some) / len(some):.0%}" for rule in ("exact", "strict")]
                off = error(median(errors(some)))
                lines.append([name, f"{noise:g}", len(some), *found, off, figure_of(some, "seconds", ".1f")])
    return table(["program", "noise", "runs", "exact", "strict", "median test error", "median s"], lines)


def failures(rows: dict[str, list[Row]]) -> str:
    """Every run that did not find its formula, with what was found instead."""
    lines = [
        [
            row["case"],
            f"{row.get('noise', 0):g}",
            row["seed"],
            *(f"`{_short(row.get(key))}`" for key in ("truth", "found")),
        ]
        for mine in rows.values()
        for row in mine
        if not row.get("exact")
    ]
    return table(["problem", "noise", "seed", "truth", "found"], lines)


def _short(text: str | None, length: int = 110) -> str:
    shown = (text or "failed").replace("|", "∣")
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def read(results: Path) -> dict[str, list[Row]]:
    """The rows of each table that has any."""
    rows = {name: Rows(results / f"{name}.jsonl").all() for name in (*TABLES, RANDOM)}
    return {name: mine for name, mine in rows.items() if mine}


def report(rows: dict[str, list[Row]], rivals: list[Row]) -> str:
    """The whole page."""
    known = [row for mine in rows.values() for row in mine] + rivals
    machine = ", ".join(sorted({row["machine"] for row in known}))
    dates = sorted({row["date"] for row in known})
    commands = sorted({f"`{row['command']}`" for row in known})
    return (
        "# Recovery of formulas\n\n"
        f"{machine}; {' to '.join(sorted({dates[0], dates[-1]}))}, one thread a problem: {', '.join(commands)}.\n\n"
        "Exact: with floats rounded to three decimals the difference or the quotient of truth and formula is a\n"
        "constant (the rule of SRBench). Strict: the difference is 0, and no term vanished by the rounding.\n"
        "Formulas that agree with the truth to 1e-10 of its spread on 500 other rows are both.\n\n"
        f"{rates(rows)}\n\n{_beside_text(rows, rivals)}## Not found\n\n{failures(rows)}\n"
    )


def _beside_text(rows: dict[str, list[Row]], rivals: list[Row]) -> str:
    if not rivals:
        return ""
    least, most = (f"{bound(row['budget'] for row in rivals):.0f}" for bound in (min, max))
    return (
        "## Beside other programs\n\n"
        "The same rows of the same problems, every fifth of the Feynman equations and of the published sets. Each\n"
        f"program had as long as Edgewise on the same rows, but no less than {least} s (and up to {most} s). The\n"
        "error is the root mean square on test rows over the target's standard deviation. The settings of each\n"
        "program stand at the head of its script in benchmarks/rivals.\n\n"
        f"{beside(rows, rivals)}\n\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--readme", type=Path, default=README)
    options = parser.parse_args()
    rows, rivals = read(options.results), Rows(options.results / FILE).all()
    options.results.with_suffix(".md").write_text(report(rows, rivals), encoding="utf-8")
    block = rates(rows)
    if rivals:
        block += f"\n\nOn 30 of the problems, in the same time (10 s at least):\n\n{beside(rows, rivals)}"
    before, _, rest = options.readme.read_text(encoding="utf-8").partition(START)
    options.readme.write_text(f"{before}{START}\n{block}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
