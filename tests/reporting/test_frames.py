"""A study in a notebook: DataFrames with the recorded numbers, and no torch."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness import load_study
from harness.records.study import write_study
from harness.reporting.section import Material
from variants.errors import UserError

ROOT = Path(__file__).parents[2]
TABLES = ("arms", "runs", "scores", "comparisons")


def written(shape: Material, folder: Path) -> Path:
    write_study(folder, shape.study, list(shape.runs))
    return folder


def rows(table: pd.DataFrame) -> list[dict[Any, Any]]:
    return table.to_dict("records")


def test_the_tables_hold_the_recorded_numbers(with_scores, tmp_path: Path) -> None:
    study = load_study(written(with_scores, tmp_path))
    assert study.name == "example"
    assert list(study.arms["arm"]) == [arm.name for arm in with_scores.study.arms]
    assert list(study.arms["is_baseline"]) == [True, False, False]
    assert list(study.arms["num_params_total"]) == [arm.num_params["total"] for arm in with_scores.study.arms]
    assert len(study.runs) == 12
    losses = {(row["arm"], row["seed"]): row["nats_per_byte"] for row in rows(study.runs)}
    assert losses == {(run.arm, run.seed): run.value("nats_per_byte") for run in with_scores.runs}
    for row, c in zip(rows(study.comparisons), with_scores.comparisons, strict=True):
        assert (row["arm"], row["verdict"], row["mean_difference"]) == (c.arm, c.verdict, c.mean_difference)
        assert (row["ci_low"], row["ci_high"]) == c.ci95


def test_a_mean_over_runs_is_that_of_the_comparison(with_scores, tmp_path: Path) -> None:
    study = load_study(str(written(with_scores, tmp_path)))
    for row in rows(study.comparisons):
        means = [
            statistics.fmean(run["nats_per_byte"] for run in rows(study.runs) if run["arm"] == arm)
            for arm in (row["baseline"], row["arm"])
        ]
        assert means[1] - means[0] == pytest.approx(row["mean_difference"], abs=1e-12)


def test_every_score_of_every_run_is_a_row(with_scores, tmp_path: Path) -> None:
    scores = load_study(written(with_scores, tmp_path)).scores
    losses = 4 * len(with_scores.runs)
    assert len(scores) == losses + sum(len(s.values) for run in with_scores.runs for s in run.scores)
    assert len({(row["arm"], row["seed"], row["name"]) for row in rows(scores)}) == len(scores)


def test_what_failed_is_there_without_a_number(troubled_scores, tmp_path: Path) -> None:
    study = load_study(written(troubled_scores, tmp_path))
    failed = [row for row in rows(study.scores) if row["name"] == "capacity"]
    assert {row["reason"] for row in failed} == {"UserError: no capacity"}
    diverged = [row for row in rows(study.runs) if row["arm"] == "norm=none"]
    assert {row["status"] for row in diverged} == {"diverged"}
    assert all(math.isnan(row["value"]) for row in failed)
    assert all(math.isnan(row["nats_per_byte"]) for row in diverged)


@pytest.mark.parametrize("shape", ["alone", "nothing_begun", "hostile", "huge"])
def test_the_types_do_not_depend_on_the_rows(shape: str, with_scores, tmp_path: Path, request) -> None:
    study = load_study(written(request.getfixturevalue(shape), tmp_path / "this"))
    other = load_study(written(with_scores, tmp_path / "other"))
    for name in TABLES:
        pd.testing.assert_series_equal(getattr(study, name).dtypes, getattr(other, name).dtypes)


def test_what_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a study: it has no study\.json"):
        load_study(tmp_path)


def test_it_needs_no_torch_and_reads_pandas_late(alone, tmp_path: Path) -> None:
    code = (
        "import json, sys; from harness import load_study; early = 'pandas' in sys.modules;"
        "study = load_study(sys.argv[1]); print(json.dumps([early, len(study.runs), 'torch' in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(written(alone, tmp_path))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [False, 4, False]
