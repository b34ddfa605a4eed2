"""Where ratios are kept to compare with: one file a class of machine, in pytest-benchmark's own form.

baselines/CLASS.json                 committed, renewed by `tox -e bench-update -- "reason"`
.benchmarks/baselines/CLASS.json     of a class that has none: the first run here, not committed
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.numerics.machine import speed_class

ROOT = Path(__file__).parents[3]
TESTS = "tests/benchmarks/regression"
COMMITTED = Path(__file__).parent / "baselines"
LOCAL = ROOT / ".benchmarks" / "baselines"


@dataclass(frozen=True)
class Baseline:
    """`medians` by a benchmark's full name. `path` need not exist yet; then there are none."""

    path: Path
    kind: Literal["committed", "first run here", "given"]
    medians: Mapping[str, float]

    @property
    def sentence(self) -> str:
        """What a run is compared with, in one line."""
        if self.kind != "first run here":
            return f"compared with {self.path}"
        none = f"no committed baseline for this class of machine, {self.path.stem}"
        if self.medians:
            return f"{none}; compared with the first run here, {self.path}"
        return f"{none}; nothing was compared, and the next runs are compared with this one"


def find(given: str | None = None) -> Baseline:
    """The given file, else the committed one of this class of machine, else the local one, which need not exist.

    Raises:
        ValueError: the given file is of another class of machine, or is no baseline.
    """
    if given is not None:
        document = json.loads(Path(given).read_text())
        known = document.get("machine_info", {}).get("class")
        if known != speed_class():
            raise ValueError(f"ratios belong to a class of machine: {given} is of {known}, not {speed_class()}")
        return Baseline(Path(given), "given", medians_of(document))
    name = f"{speed_class()}.json"
    if (COMMITTED / name).exists():
        return Baseline(COMMITTED / name, "committed", medians_of(read(COMMITTED / name)))
    return Baseline(LOCAL / name, "first run here", medians_of(read(LOCAL / name)))


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {"benchmarks": []}


def medians_of(document: Mapping[str, Any]) -> dict[str, float]:
    return {bench["fullname"]: bench["stats"]["median"] for bench in document["benchmarks"]}


def middle(documents: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each benchmark the run whose median is the middle one, with all the medians beside it."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for document in documents:
        for bench in document["benchmarks"]:
            runs.setdefault(bench["fullname"], []).append(bench)
    return [_middle_of(benches) for benches in runs.values()]


def _middle_of(benches: list[dict[str, Any]]) -> dict[str, Any]:
    medians = [bench["stats"]["median"] for bench in benches]
    chosen = benches[medians.index(statistics.median_low(medians))]
    kept = {key: chosen[key] for key in ("group", "name", "fullname", "params", "param", "extra_info", "options")}
    stats = {key: value for key, value in chosen["stats"].items() if key != "data"}
    kept["extra_info"] = {"reference": chosen["extra_info"].get("reference"), "medians": medians}
    return {**kept, "params": None, "options": {}, "stats": stats}


def write(path: Path, benchmarks: Iterable[Mapping[str, Any]], history: list[dict[str, Any]]) -> None:
    """One benchmark a line, so that a renewal reads well as a difference."""
    lines = ",\n".join(json.dumps(bench) for bench in sorted(benchmarks, key=lambda bench: bench["fullname"]))
    head = json.dumps({"history": history, "machine_info": {"class": path.stem}, "commit_info": {}}, indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{head[:-2]},\n "benchmarks": [\n{lines}\n ]\n}}\n')
