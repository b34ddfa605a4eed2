"""A study's folder says again what was written, or says what is wrong with it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from harness.records.example import example_run, example_runs, example_study
from harness.records.record import RegimeRecord, StudyRecord, StudyRun
from harness.records.score import Measurement, ScoreRecord, Value
from harness.records.seal import seal, unseal
from harness.records.study import read_measurements, read_study, write_measurement, write_study
from variants.errors import UserError


@pytest.fixture
def study() -> StudyRecord:
    return example_study(seeds=(0, 1))


@pytest.fixture
def runs() -> list[StudyRun]:
    return example_runs({"gpt2": [1.65, 1.66], "norm=rms": [1.64, None]})


def test_a_study_comes_back_as_it_was_written(tmp_path: Path, study: StudyRecord, runs: list[StudyRun]) -> None:
    write_study(tmp_path / "new" / "folder", study, runs)
    assert read_study(tmp_path / "new" / "folder") == (study, runs)
    lines = (tmp_path / "new" / "folder" / "runs.jsonl").read_text().splitlines()
    assert [json.loads(line)["arm"] for line in lines] == ["gpt2", "gpt2", "norm=rms", "norm=rms"]


def test_regimes_come_back_and_studies_of_before_have_none(tmp_path: Path, study: StudyRecord) -> None:
    rows = [RegimeRecord("norm=rms", "time", "norm=rms @time", "a step is too long", 0.005)]
    regimes = dataclasses.replace(study, regimes=rows)
    write_study(tmp_path, regimes, [])
    assert read_study(tmp_path)[0] == regimes
    body = unseal((tmp_path / "study.json").read_text(), "study.json")
    old = {name: value for name, value in body.items() if name not in ("regimes", "timing")}
    (tmp_path / "study.json").write_text(json.dumps(seal(old)))
    assert read_study(tmp_path)[0] == study


def test_a_study_may_have_no_run_yet(tmp_path: Path, study: StudyRecord) -> None:
    write_study(tmp_path, study, [])
    assert read_study(tmp_path) == (study, [])


def test_writing_again_replaces(tmp_path: Path, study: StudyRecord, runs: list[StudyRun]) -> None:
    write_study(tmp_path, study, runs[:1])
    write_study(tmp_path, study, runs)
    assert read_study(tmp_path) == (study, runs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs.jsonl", "scores.jsonl", "study.json"]


@pytest.mark.parametrize("name", ["study.json", "runs.jsonl"])
def test_a_folder_that_is_not_a_study(tmp_path: Path, study: StudyRecord, runs: list[StudyRun], name: str) -> None:
    write_study(tmp_path, study, runs)
    (tmp_path / name).unlink()
    with pytest.raises(UserError, match=f"is not a study: it has no {name}; give the folder"):
        read_study(tmp_path)
    with pytest.raises(UserError, match="is not a study"):
        read_study(tmp_path / "absent")


def test_every_cut_of_runs_jsonl_is_refused(tmp_path: Path, study: StudyRecord, runs: list[StudyRun]) -> None:
    write_study(tmp_path, study, runs)
    path = tmp_path / "runs.jsonl"
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for length in [*range(50, len(whole) - 1, 97), *ends[:-1]]:
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"runs\.jsonl"):
            read_study(tmp_path)


def test_lines_in_another_order_are_refused(tmp_path: Path, study: StudyRecord, runs: list[StudyRun]) -> None:
    write_study(tmp_path, study, runs)
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    with pytest.raises(UserError, match="number 1 says it is 4 of 4; lines were lost or moved"):
        read_study(tmp_path)


def test_an_edited_number_is_refused(tmp_path: Path, study: StudyRecord, runs: list[StudyRun]) -> None:
    write_study(tmp_path, study, runs)
    for name, old, new in (("study.json", '"margin": 0.01', '"margin": 0.1'), ("runs.jsonl", "1.64", "1.54")):
        path = tmp_path / name
        text = path.read_text()
        path.write_text(text.replace(old, new))
        assert path.read_text() != text
        with pytest.raises(UserError, match=r"does not match its own sha256"):
            read_study(tmp_path)
        path.write_text(text)


def test_another_version_is_refused(tmp_path: Path, study: StudyRecord) -> None:
    write_study(tmp_path, study, [])
    data = json.loads((tmp_path / "study.json").read_text())
    (tmp_path / "study.json").write_text(json.dumps({**data, "schema_version": 99}))
    with pytest.raises(UserError, match="schema_version 99, this program reads 1"):
        read_study(tmp_path)


def test_runs_outside_the_plan_are_refused(tmp_path: Path, study: StudyRecord) -> None:
    one = example_run("gpt2", 0, 1.65)
    for runs, sentence in (
        ([example_run("norm=dyt", 0, 1.6)], "arm 'norm=dyt' and seed 0 is not in the study's plan"),
        ([example_run("gpt2", 7, 1.6)], "arm 'gpt2' and seed 7 is not in the study's plan"),
        ([one, one], "arm 'gpt2' has two runs of seed 0"),
    ):
        with pytest.raises(UserError, match=sentence):
            write_study(tmp_path, study, runs)
    with pytest.raises(UserError, match="arms of different names, the baseline among them"):
        write_study(tmp_path, dataclasses.replace(study, baseline="gpt3"), [])
    assert list(tmp_path.iterdir()) == []


def test_scores_and_measurements_come_back(tmp_path: Path) -> None:
    study, runs = example_study(), example_runs({"gpt2": [1.6, 1.7, 1.6, 1.65], "norm=rms": [1.6, 1.7, 1.6, 1.65]})
    value = Value("cloze/acc", "cloze", 0.5, "of 1", "higher", 0.02, 0.25, True)
    score = ScoreRecord("ab" * 32, {"run": runs[0].record.key}, runs[0].record.key, "lm-eval", "finished", "", [value])
    runs = [dataclasses.replace(runs[0], scores=(score,)), *runs[1:]]
    write_study(tmp_path, study, runs)
    measured = Measurement("throughput", {"device": "cpu"}, "finished", "", {"rows": []})
    write_measurement(tmp_path, measured)
    assert read_study(tmp_path) == (study, runs)
    assert runs[0].value("cloze/acc") == 0.5
    assert runs[1].value("cloze/acc") is None
    assert read_measurements(tmp_path) == [measured]


def test_lost_scores_are_noticed(tmp_path: Path) -> None:
    study, runs = example_study(), example_runs({"gpt2": [1.6], "norm=rms": [1.6]})
    scores = tuple(ScoreRecord(c * 64, {}, runs[0].record.key, "position", "finished", "") for c in "ab")
    write_study(tmp_path, study, [dataclasses.replace(runs[0], scores=scores), *runs[1:]])
    lines = (tmp_path / "scores.jsonl").read_text().splitlines()
    (tmp_path / "scores.jsonl").write_text(lines[0] + "\n")
    with pytest.raises(UserError, match="lines were lost"):
        read_study(tmp_path)
    (tmp_path / "measurements").mkdir()
    (tmp_path / "measurements" / "throughput.json").write_text("{")
    with pytest.raises(UserError, match="cut short"):
        read_measurements(tmp_path)
