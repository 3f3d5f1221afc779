"""Questions beyond the paper's tables, one row per fit: resumable like run.py.

python benchmarks/paper/studies.py convergence      exponents of the error in the grid
python benchmarks/paper/studies.py dimensions       and in the number of parameters, from 2 to 100 dimensions
python benchmarks/paper/studies.py noise            noisy labels, against an oracle
python benchmarks/paper/studies.py few              300 samples
python benchmarks/paper/studies.py narrow           the narrowest network in four dimensions
python benchmarks/paper/studies.py tables           measured tables, against gradient boosting
python benchmarks/paper/studies.py coverage         of prediction intervals
"""

from __future__ import annotations

import argparse

from rows import Rows
from runner import add_options, complete, forget
from study import STUDIES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="study", required=True)
    for name, study in STUDIES.items():
        options = commands.add_parser(name, help=study.TITLE.replace("%", "%%"))
        options.add_argument("--contenders", nargs="+", help="only these, by the first word of their names")
        add_options(options, seeds=study.SEEDS, max_time=study.MAX_TIME)
    options = parser.parse_args()

    def is_asked_for(contender: str) -> bool:
        return options.contenders is None or contender.split(maxsplit=1)[0] in options.contenders

    rows = Rows(options.results / f"{options.study}.jsonl")
    forget(rows, options, lambda row: is_asked_for(row["contender"]))
    jobs = [job for job in STUDIES[options.study].jobs(options) if is_asked_for(job.contender)]
    complete(jobs, rows, options.jobs)


if __name__ == "__main__":
    main()
