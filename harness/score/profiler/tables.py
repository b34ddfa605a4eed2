"""The tables that torch-tb-profiler makes of a trace: operators, modules, memory. The report shows them itself,
because the plugin's own page does not draw without internet.

Its RunLoader starts processes that import the main module again, so it runs in a process of its own:

    python -m harness.score.profiler.tables FOLDER        one JSON document on stdout
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from variants.errors import UserError

MOST_SECONDS = 300
"""Until reading a trace is given up. Measured: 3 s for a small one on a quiet machine."""


@dataclass(frozen=True)
class TraceTables:
    """Rows as the plugin gives them; durations are microseconds, host and device.

    `operators` has one row a name, `modules` one a module with its `depth`, the parent before its children,
    `memory` one an operator and device, sizes in KB.
    """

    operators: tuple[dict[str, Any], ...]
    modules: tuple[dict[str, Any], ...]
    memory: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        return {name: list(getattr(self, name)) for name in ("operators", "modules", "memory")}


def read_tables(folder: Path) -> TraceTables:
    """The tables of the trace in `folder`, as `profile.write_trace` left it.

    Raises:
        UserError: there is no trace, or the plugin cannot read it.
    """
    if not any(folder.glob("*.pt.trace.json*")):
        raise UserError(f"{folder} has no *.pt.trace.json; profile a model into it first")
    command = [sys.executable, "-m", "harness.score.profiler.tables", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"torch-tb-profiler did not read {folder} within {MOST_SECONDS} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"torch-tb-profiler cannot read {folder}: {last}")
    return TraceTables(**{name: tuple(rows) for name, rows in json.loads(done.stdout).items()})


def load(folder: str) -> dict[str, list[dict[str, Any]]]:
    """What the child process prints."""
    from torch_tb_profiler.io import Cache
    from torch_tb_profiler.profiler.loader import RunLoader

    with Cache() as cache:
        profiles = list(RunLoader("run", folder, cache).load().profiles.values())
    if not profiles:
        raise ValueError(f"no profile in {folder}")
    profile = cast("Any", profiles[-1])
    memory = profile.get_memory_stats(memory_metric="KB") if profile.memory_snapshot else {"columns": [], "rows": {}}
    names = [column["name"] for column in memory["columns"]]
    return {
        "operators": profile.operation_table_by_name["data"],
        "modules": flat((profile.get_module_view() or {"data": []})["data"]),
        "memory": [
            {"device": device, **dict(zip(names, row, strict=True))}
            for device, rows in memory["rows"].items()
            for row in rows
        ],
    }


def flat(tree: list[dict[str, Any]], depth: int = 0) -> list[dict[str, Any]]:
    """A tree of modules as rows, each with its depth, the parent before its children."""
    rows = []
    for node in tree:
        rows.append({**{key: value for key, value in node.items() if key != "children"}, "depth": depth})
        rows += flat(node["children"], depth + 1)
    return rows


if __name__ == "__main__":
    print(json.dumps(load(sys.argv[1])))
