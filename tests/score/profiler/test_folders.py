"""Folders of arms: safe, different, and the same in any order."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from harness.score.profiler.folders import LONGEST, RESERVED, folders


def test_plain_names_stay_readable() -> None:
    assert folders(["gpt2", "norm=rms", "model.tied_head=false norm=rms"]) == {
        "gpt2": "gpt2",
        "norm=rms": "norm=rms",
        "model.tied_head=false norm=rms": "model.tied_head=false-norm=rms",
    }


def test_names_that_would_meet_are_kept_apart() -> None:
    names = ["a b", "a/b", "A-B", "x" * 300, "x" * 301, "..", "", RESERVED]
    made = folders(names)
    assert len({folder.lower() for folder in made.values()}) == len(names)
    assert made == folders(names[::-1])
    assert made[RESERVED] != RESERVED


@given(st.lists(st.text(), unique=True, max_size=8))
def test_every_name_becomes_one_safe_component(names: list[str]) -> None:
    made = folders(names)
    assert set(made) == set(names)
    assert len({folder.lower() for folder in made.values()}) == len(names)
    for folder in made.values():
        assert re.fullmatch(r"[A-Za-z0-9=_][A-Za-z0-9=._-]*", folder)
        assert len(folder) <= LONGEST + 9
