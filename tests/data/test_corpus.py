from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.corpus import corpus_names, load_corpus
from variants.errors import UserError


def test_the_files_of_the_folder_are_the_names() -> None:
    assert corpus_names() == ["journey-to-the-west", "microworld", "stdlib", "tinyshakespeare", "wikitext2"]


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'wikitext-2' is none; did you mean 'wikitext2'\?"):
        load_corpus("wikitext-2")
    with pytest.raises(UserError, match="'' is none; known: journey-to-the-west, microworld, stdlib"):
        load_corpus("")


@pytest.mark.parametrize("name", ["/no/such", "./missing", "notes.txt", "~/no-such-folder/x"])
def test_a_missing_path_is_named(name: str) -> None:
    with pytest.raises(UserError, match=f"a path that exists, and there is no '{name}'"):
        load_corpus(name)


def test_a_path_is_loaded_and_a_name_wins_over_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "stdlib"):
        Path(name).write_text("my own text\n" * 50)
    assert load_corpus("mine").train[0].text.startswith("my own text\n")
    assert len(load_corpus("stdlib").train) > 100
    assert load_corpus("./stdlib").sha256 == load_corpus("mine").sha256
