"""The race of the trainer against the bare step measures what it says, on a text that takes no time."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.corpus import load_corpus
from tests.benchmarks import race_trainer


def test_every_part_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on a mat " * 2000)
    monkeypatch.setattr(race_trainer.stdlib, "load", lambda: load_corpus(str(text)))
    found = race_trainer.measure(tmp_path, rounds=2, steps=3, once=1)
    assert min(found.bare, found.idle, found.saved, found.saved_wall, found.validation) > 0
    assert found.idle < found.bare, "a step that does nothing took longer than one that trains"
    shown = race_trainer.shown(found)
    assert "the loop around idle steps" in shown
