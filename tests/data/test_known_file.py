from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from harness.data.known_file import KnownFile
from variants.errors import UserError

CONTENT = "一\r\n二\n".encode()
FILE = KnownFile("text/a.txt", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    return tmp_path


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_found_at_its_usual_path_with_its_line_ends(folder: Path) -> None:
    usual = put(folder / "text/a.txt", CONTENT)
    assert FILE.find() == usual
    assert FILE.read() == "一\r\n二\n"


def test_found_under_any_name_even_beside_a_wrong_one(folder: Path) -> None:
    put(folder / "text/a.txt", b"x" * len(CONTENT))
    moved = put(folder / "deep/er/renamed", CONTENT)
    assert FILE.find() == moved


@pytest.mark.parametrize("value", [None, ""])
def test_an_unset_variable_is_named(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    if value is not None:
        monkeypatch.setenv("HARNESS_DATA", value)
    with pytest.raises(UserError, match=r"text/a.txt is looked for .* HARNESS_DATA names, and it is not set; set it"):
        FILE.find()


def test_a_folder_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", "/no/such")
    with pytest.raises(UserError, match="'/no/such' is not a folder"):
        FILE.find()


def test_an_absent_file_is_named(folder: Path) -> None:
    with pytest.raises(UserError, match=f"no file with the SHA-256 of text/a.txt .* lies under {folder}"):
        FILE.find()


def test_a_changed_file_shows_both_hashes(folder: Path) -> None:
    put(folder / "text/a.txt", b"changed")
    changed = hashlib.sha256(b"changed").hexdigest()[:16]
    with pytest.raises(UserError, match=f"SHA-256 {FILE.sha256[:16]}.* has {changed}.*; put the original"):
        FILE.find()
