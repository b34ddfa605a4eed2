"""Renew the committed baseline of this class of machine, with a reason.

    tox -e bench-update -- "attention writes its cache in place"

Runs the benchmarks in `PROCESSES` processes, since where a process has its memory moves a ratio by some percent, and
keeps of each benchmark the middle one. Without a name for what changed there is no new baseline.
"""

from __future__ import annotations

import datetime
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.regression import baseline, moved
from tests.benchmarks.regression.command import MEASURED
from tests.numerics.machine import speed_class

PROCESSES = 3


def main(arguments: list[str]) -> int:
    """0, or 2 without a reason, or what pytest ended with."""
    reason = " ".join(arguments).strip()
    if not reason:
        print('error: say why the baseline changes: tox -e bench-update -- "the reason"', file=sys.stderr)
        return 2
    path = baseline.COMMITTED / f"{speed_class()}.json"
    documents = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(PROCESSES):
            saved = Path(folder) / f"{number}.json"
            command = [sys.executable, "-m", "pytest", *MEASURED, f"--benchmark-json={saved}"]
            code = subprocess.run(command, cwd=baseline.ROOT).returncode
            if code:
                return code
            documents.append(baseline.read(saved))
    before = baseline.read(path)
    benchmarks = baseline.middle(documents)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    baseline.write(path, benchmarks, [*before.get("history", []), {"created": now, "reason": reason}])
    comparison = moved.compare_runs(baseline.medians_of(before), baseline.medians_of({"benchmarks": benchmarks}))
    print("\n".join([f"wrote {path.relative_to(baseline.ROOT)}", *moved.table(comparison, float("inf"))]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
