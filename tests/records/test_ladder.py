"""A ladder's folder: what is written is read, and what was lost, edited or exchanged is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from harness.records.example_ladder import branched, example_ladder, example_ladder_record
from harness.records.ladder import FILE, RUNGS, SEPARATE, LadderRecord, Rung, is_ladder, read_ladder, write_ladder
from harness.records.study import write_study
from variants.errors import UserError


def written(folder: Path) -> tuple[LadderRecord, list[Rung]]:
    rungs = [branched(rung, 0.01) for rung in example_ladder({"norm=rms": 1.2})]
    ladder = example_ladder_record(rungs, trunk=True)
    write_ladder(folder, ladder)
    for rung in rungs:
        write_study(folder / RUNGS / rung.study.name, rung.study, list(rung.runs))
        assert rung.separate is not None
        write_study(folder / SEPARATE / rung.study.name, rung.separate[0], list(rung.separate[1]))
    return ladder, rungs


def test_what_is_written_is_read(tmp_path: Path) -> None:
    ladder, rungs = written(tmp_path)
    assert is_ladder(tmp_path)
    assert not is_ladder(tmp_path / RUNGS)
    found, read = read_ladder(tmp_path)
    assert found == ladder
    assert [(r.label, r.study, list(r.runs)) for r in read] == [(r.label, r.study, list(r.runs)) for r in rungs]
    assert all(rung.separate is not None for rung in read)


def test_the_first_registration_is_kept(tmp_path: Path) -> None:
    ladder, _ = written(tmp_path)
    write_ladder(tmp_path, dataclasses.replace(ladder, created="later", registration={"sha256": "another"}))
    assert read_ladder(tmp_path)[0] == ladder


def test_what_was_lost_edited_or_exchanged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"it has no ladder\.json"):
        read_ladder(tmp_path)
    ladder, rungs = written(tmp_path)
    text = (tmp_path / FILE).read_text()
    (tmp_path / FILE).write_text(text.replace("norm=rms", "norm=dyt"))
    with pytest.raises(UserError, match="edited by hand"):
        read_ladder(tmp_path)
    with pytest.raises(UserError, match="edited by hand"):
        write_ladder(tmp_path, ladder)
    (tmp_path / FILE).write_text(text[:-40])
    with pytest.raises(UserError, match="cut short"):
        read_ladder(tmp_path)
    (tmp_path / FILE).write_text(text)
    first = tmp_path / RUNGS / rungs[0].study.name
    other = dataclasses.replace(rungs[0].study, registration={"sha256": "another"})
    write_study(first, other, list(rungs[0].runs))
    with pytest.raises(UserError, match=r"is not the study that .* registered as its rung 1e\+12"):
        read_ladder(tmp_path)
    (first / "study.json").unlink()
    with pytest.raises(UserError, match="is not a study"):
        read_ladder(tmp_path)


def test_a_record_of_another_kind_is_refused(tmp_path: Path) -> None:
    from harness.records.seal import seal

    (tmp_path / FILE).write_text(json.dumps(seal({"rungs": []})))
    with pytest.raises(UserError, match="is not a ladder"):
        read_ladder(tmp_path)
