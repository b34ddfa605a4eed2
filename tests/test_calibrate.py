"""A calibration measures the noise at one scale, finds its planted effect, and later studies tell what they can see."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from harness.ablate import main as ablate
from harness.analyse.scores import SCORES
from harness.calibrate import main, noise_of
from harness.records.calibration import (
    CalibrationRecord,
    Noise,
    keep_calibration,
    kept_calibration,
    read_calibration,
    scale_key,
    scale_of,
    write_calibration,
)
from harness.records.example import example_run, example_study
from harness.records.record import StudyRun, to_json
from harness.records.score import ScoreRecord, Value
from harness.records.seal import seal
from harness.records.store import RunStore
from harness.report import main as report
from variants.errors import UserError


def runs_with(arm: str, values: Mapping[int, float | None]) -> list[StudyRun]:
    """Runs whose score `acc` is known; what they lose is something else. None for a value that is not defined."""
    runs = []
    for seed, value in values.items():
        run = example_run(arm, seed, 1.6 + 0.01 * (seed % 7))
        known = Value("acc", "accuracy", value, "share", "higher", reason="" if value is not None else "no items")
        score = ScoreRecord(f"{arm} {seed}", {}, run.record.key, "made-up", "finished", "", [known])
        runs.append(dataclasses.replace(run, scores=(score,)))
    return runs


def acc_of(
    own: np.ndarray, planted: np.ndarray, init: np.ndarray, order: np.ndarray, again: float
) -> tuple[Noise, list[Noise], dict[str, str]]:
    """The noise of `acc` where init i and order j score init[i] + order[j], and a run done again `again` more."""
    sources = [
        run
        for i in range(3)
        for j in range(3)
        if i != j
        for run in runs_with(f"init {i}, order {j}", {i: float(init[i] + order[j])})
    ]
    sources += [run for s in (0, 1) for run in runs_with(f"again {s}", {s: float(own[s]) + again})]
    arms = {"gpt2": own, "planted": planted}
    runs = [run for arm, found in arms.items() for run in runs_with(arm, dict(enumerate(found.tolist())))]
    study = example_study(("gpt2", "planted"), range(len(own)))
    noise, absent = noise_of(study, runs, sources)
    return noise[-1], noise, absent


def test_noise_of_every_score_has_the_known_sources_and_pairing() -> None:
    rng = np.random.default_rng(0)
    init, order, shared = rng.normal(0, 0.03, 400), rng.normal(0, 0.01, 400), rng.normal(0, 1, (2, 400))
    own = 0.5 + init + order
    sd = 0.001**0.5  # of init and order together
    planted = 0.4 + 0.8 * (own - 0.5) + 0.6 * sd * shared[0]  # correlation 0.8, and the same sd
    acc, every, absent = acc_of(own, planted, init + 0.5, order, again=0.002)
    assert [found.score for found in every] == [*SCORES, "acc"], "the losses first, then what the runs scored"
    assert not absent
    assert (acc.unit, acc.reason, len(acc.values)) == ("share", "", 400)
    assert acc.sd == pytest.approx(sd, rel=0.1)
    variances = {source: variance for source, variance, _, _ in acc.components}
    assert variances["init"] == pytest.approx(np.var(init[:3], ddof=1)), "the table is additive, so this is exact"
    assert variances["data order"] == pytest.approx(np.var(order[:3], ddof=1))
    assert variances["residual"] == pytest.approx(0, abs=1e-12)
    assert variances["hardware"] == pytest.approx(0.002**2 / 2), "two equal seeds that far apart"
    assert acc.correlation_ci95 is not None
    assert acc.gain is not None
    assert acc.correlation_ci95[0] < 0.8 < acc.correlation_ci95[1]
    assert acc.gain == pytest.approx(0.8, abs=0.05), "of equal sds the gain is the correlation"
    assert acc.sd_difference == pytest.approx(sd * (2 * 0.2) ** 0.5, rel=0.1)


def test_a_score_that_runs_lack_is_named() -> None:
    runs = [run for arm in ("gpt2", "planted") for run in runs_with(arm, {0: 0.5, 1: None, 2: None, 3: None})]
    noise, absent = noise_of(example_study(("gpt2", "planted")), runs, [])
    assert [found.score for found in noise] == list(SCORES)
    assert absent == {"accuracy": "no items"}


def test_a_calibration_of_before_still_reads(tmp_path: Path) -> None:
    old = Noise("nats_per_byte", "nats per byte", [1.6, 1.7], 0.07, 0.1, [["init", 0.1, 0.0, 0.2]], None, None)
    study = example_study()
    key = scale_key(scale_of(study))
    record = CalibrationRecord(key, {}, [], "2026-11-02", [old], {"reason": "few"}, {"found": True}, 25.0)
    body = to_json(record)
    for name in ("pipeline", "absent", "environment"):
        del body[name]
    for name in ("correlation_ci95", "gain", "gain_ci95", "reason", "counts"):
        del body["noise"][0][name]
    path = write_calibration(tmp_path, record)
    path.write_text(json.dumps(seal(body)), encoding="utf-8")
    assert read_calibration(tmp_path, study) == record


def test_a_copy_of_another_scale_or_edited_is_refused(tmp_path: Path) -> None:
    study = example_study()
    noise = Noise("nats_per_byte", "nats per byte", [1.6, 1.7], 0.07, 0.1, [], None, None)
    key = scale_key(scale_of(study))
    own = CalibrationRecord(key, {}, [], "2026-11-02", [noise], {"reason": "few"}, {"found": True}, 25.0)
    assert kept_calibration(tmp_path, study) is None
    keep_calibration(tmp_path, own)
    assert kept_calibration(tmp_path, study) == own
    other = dataclasses.replace(study, recipe={**study.recipe, "lr": 0.003})
    with pytest.raises(UserError, match="another scale"):
        kept_calibration(tmp_path, other)
    path = tmp_path / "calibration.json"
    path.write_text(path.read_text(encoding="utf-8").replace("1.7", "1.9"), encoding="utf-8")
    with pytest.raises(UserError, match="edited"):
        kept_calibration(tmp_path, study)


def test_noise_planted_effect_and_forecast(tiny_flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    scale = ["--steps", "120", "--seeds", "4"]
    assert main([*tiny_flags, *scale, "--score", "position", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    primary = record["noise"][0]
    assert primary["score"] == "nats_per_byte"
    assert [noise["score"] for noise in record["noise"]] == [*SCORES, "late_context_loss"]
    assert {len(noise["values"]) for noise in record["noise"]} == {4}
    assert {noise["reason"] for noise in record["noise"]} == {""}
    sources = {source: variance for source, variance, _, _ in primary["components"]}
    assert set(sources) == {"init", "data order", "residual", "total", "hardware"}
    assert sources["hardware"] == 0, "on a CPU the same seeds give the same bits"
    assert sources["total"] > 0
    assert record["planted"]["mean_difference"] > 0, "fewer steps are worse"
    assert "need 8 seeds" in record["false_positives"]["reason"]
    assert record["pipeline"]["studies"] == sum(record["pipeline"]["words"].values()) == 6

    assert ablate(["norm=rms", *tiny_flags, *scale, "--dry-run", "--effect", "0.05"]) == 0
    told = capsys.readouterr().err
    assert "4 paired seeds can find a difference of" in told
    assert "a difference of 0.05 nats per byte needs" in told
    assert ablate(["norm=rms", *tiny_flags, "--steps", "121", "--dry-run"]) == 0
    assert "harness.calibrate" in capsys.readouterr().err, "another scale is not calibrated"


def test_its_runs_are_those_of_a_study_and_its_noise_is_in_the_report(
    tiny_flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tiny_flags[tiny_flags.index("--out") + 1]
    assert ablate(["norm=rms", *tiny_flags, "--seeds", "4", "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    folder = Path(before["study"]["folder"])
    told = (folder / "report.md").read_text(encoding="utf-8")
    command = next(line for line in told.splitlines() if "The noise at this scale is not known" in line)
    place = ["--out", out, "--seeds", "4", "--workers", "2", "--device", "cpu", "--score", "none"]
    assert main([*shlex.split(command.split("harness.calibrate")[1]), *place, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    keys = {run["key"] for run in before["runs"] if run["arm"] == "gpt2"}
    assert keys <= {record.key for record in RunStore(f"{out}/store")}

    assert report([str(folder)]) == 0, "rebuilt, it finds the calibration in the store beside it"
    capsys.readouterr()
    assert "A/A noise" in (folder / "report.md").read_text(encoding="utf-8")
    assert json.loads((folder / "calibration.json").read_text(encoding="utf-8"))["key"] == record["key"]
    assert ablate(["norm=rms", *tiny_flags, "--seeds", "4", "--json"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert after["calibration"] == record
    assert {run["reused"] for run in after["runs"]} == {True}


def test_too_few_seeds_is_one_sentence(tiny_flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*tiny_flags, "--seeds", "3"]) == 2
    assert "at least 4 seeds, got 3" in capsys.readouterr().err


def test_a_measurement_is_refused(tiny_flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*tiny_flags, "--seeds", "4", "--score", "position,speed"]) == 2
    assert "--score speed measures the arms of a study side by side" in capsys.readouterr().err
