"""Edgewise, perceptrons and pykan on the paper's tables, one row per fit: resumable, and to be interrupted at any time.

    python benchmarks/paper/run.py                                    everything
    python benchmarks/paper/run.py --tables toy --contenders edgewise --fresh

Each fit has a process of its own with one thread. Rivals run one seed each, for as long as Edgewise took on the same
case (the median of its seeds), but no less than 10 seconds. The rows go to benchmarks/results/paper; report.py makes
tables and pictures of them.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable

from cases import Case, tables
from contenders import CONTENDERS, measure
from rows import Rows
from runner import Job, add_options, complete, forget

TABLES = ("toy", "special", "feynman")
LEAST_BUDGET = 10.0


def table_jobs(cases: Iterable[Case], seeds: int, seconds: float) -> list[Job]:
    """Edgewise, all seeds of a case one after the other."""
    return [_job(case, "edgewise", seed, seconds) for case in cases for seed in range(seeds)]


def rival_jobs(cases: Iterable[Case], rivals: Iterable[str], rows: Rows, least: float = LEAST_BUDGET) -> list[Job]:
    """The rivals, where Edgewise's time is known."""
    rivals, jobs = list(rivals), []
    for case in cases:
        times = [row["seconds"] for row in rows.of(case.name, "edgewise") if row["seconds"] is not None]
        if times:
            budget = max(least, statistics.median(times))
            jobs += [_job(case, rival, 0, budget) for rival in rivals]
    return jobs


def _job(case: Case, contender: str, seed: int, seconds: float) -> Job:
    arguments = {"table": case.table, "name": case.name, "contender": contender, "seed": seed, "seconds": seconds}
    return Job(case=case.name, contender=contender, seed=seed, function=measure, arguments=arguments, seconds=seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--cases", nargs="+", help="only these")
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--least-budget", type=float, default=LEAST_BUDGET, help="seconds that a rival has at least")
    add_options(parser, seeds=10, max_time=60)
    options = parser.parse_args()
    for table in options.tables:
        cases = [case for name, case in tables()[table].items() if options.cases is None or name in options.cases]
        rows = Rows(options.results / f"{table}.jsonl")
        names = {case.name for case in cases}
        forget(rows, options, lambda row, of=names: row["case"] in of and row["contender"] in options.contenders)
        if "edgewise" in options.contenders:
            complete(table_jobs(cases, options.seeds, options.max_time), rows, options.jobs)
        rivals = [contender for contender in options.contenders if contender != "edgewise"]
        complete(rival_jobs(cases, rivals, rows, options.least_budget), rows, options.jobs)


if __name__ == "__main__":
    main()
