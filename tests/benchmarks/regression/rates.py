"""How often `tox -e bench` is right: planted slowdowns that it catches, and runs of an unchanged tree that it passes.

    python -m tests.benchmarks.regression.rates --unchanged 20 --planted 5 [-k EXPRESSION]

Each is a process of its own, compared with the baseline that `baseline.find` finds. docs/benchmarks.md has the rates.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence

from tests.benchmarks.regression import baseline
from tests.benchmarks.regression.command import COMPARED

SHOWN_BY = {
    "variant": ("test_variants.py", "norm-rms"),
    "trainer": ("test_models.py", "test_training_step[gpt2] or test_trainer"),
    "report": ("test_records.py", "test_report"),
}
"""The benchmarks that have a planted slowdown in them: the file, and pytest's -k."""

FACTORS = (1.2, 1.5, 2.0)


def failed(where: str, select: str, planted: str | None) -> bool:
    """Whether a run fails; what it printed is kept on stderr."""
    command = [sys.executable, "-m", "pytest", *COMPARED, *(("-k", select) if select else ())]
    command[command.index(baseline.TESTS)] += where
    environment = dict(os.environ)
    if planted:
        command += ["-p", "tests.benchmarks.regression.planted"]
        environment["PLANTED"] = planted
    done = subprocess.run(command, cwd=baseline.ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    print(done.stdout[-3000:], file=sys.stderr)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"pytest ended with {done.returncode}")
    return done.returncode == 1


def main(argv: Sequence[str]) -> int:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--unchanged", type=int, default=20, metavar="N")
    p.add_argument("--planted", type=int, default=5, metavar="N", help="runs of each place and factor")
    p.add_argument("-k", default="", help="the benchmarks of an unchanged run; default all")
    args = p.parse_args(argv)
    for place, (file, select) in SHOWN_BY.items() if args.planted else ():
        for factor in FACTORS:
            caught = sum(failed(f"/{file}", select, f"{place}:{factor}") for _ in range(args.planted))
            print(f"{place} {factor}x: caught {caught} of {args.planted}", flush=True)
    passed = 0
    for run in range(args.unchanged):
        passed += not failed("", args.k, None)
        print(f"unchanged: passed {passed} of {run + 1}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
