from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.documents import SPLITS
from harness.data.local import load_path
from variants.errors import UserError


def test_a_file_is_cut_by_position_and_keeps_its_line_ends(tmp_path: Path) -> None:
    text = "".join(f"第{i:03}行\r\n" for i in range(100))
    (tmp_path / "a.txt").write_bytes(text.encode())
    corpus = load_path(str(tmp_path / "a.txt"))
    assert corpus.name == str(tmp_path / "a.txt")
    assert "".join(corpus.documents(split)[0].text for split in SPLITS) == text
    assert [corpus.documents(split)[0].text.count("\r\n") for split in SPLITS] == [90, 5, 5]


def test_a_small_folder_has_every_file_in_every_split(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/two", "a.py", "c.txt"):
        (tmp_path / name).write_text(f"{name}\n" * 50)
    corpus = load_path(str(tmp_path))
    for split in SPLITS:
        assert [document.name for document in corpus.documents(split)] == ["a.py", "b/two", "c.txt"]


def test_a_large_folder_is_told_apart_by_document(tmp_path: Path) -> None:
    for i in range(40):
        (tmp_path / f"{i}.txt").write_text(f"file {i}\n")
    corpus = load_path(str(tmp_path))
    texts = [document.text for split in SPLITS for document in corpus.documents(split)]
    assert sorted(texts) == sorted(f"file {i}\n" for i in range(40))
    (tmp_path / "0.txt").rename(tmp_path / "zz.txt")
    assert {d.text for d in load_path(str(tmp_path)).train} == {d.text for d in corpus.train}


def test_hidden_files_and_empty_ones_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text\n" * 50)
    sha256 = load_path(str(tmp_path)).sha256
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/object").write_bytes(b"\0")
    (tmp_path / ".hidden").write_bytes(b"\xff")
    (tmp_path / "__init__.py").touch()
    assert load_path(str(tmp_path)).sha256 == sha256


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"ab\0cd", r"binary \(a NUL byte at 2\)"), (b"abc\xff\xfe", r"UTF-8 text, and .* is not \(byte 0xff at 3\)")],
)
def test_what_is_no_text_is_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "good.txt").write_text("good\n" * 50)
    (tmp_path / "bad.bin").write_bytes(content)
    for path in (tmp_path, tmp_path / "bad.bin"):
        with pytest.raises(UserError, match=reason) as caught:
            load_path(str(path))
        assert str(tmp_path / "bad.bin") in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.txt").write_text("text")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UserError, match=r"readable, and .*a.txt is not \(Permission denied\)"):
        load_path(str(tmp_path / "a.txt"))


def test_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the folder .* holds no file"):
        load_path(str(tmp_path))
    (tmp_path / "a.txt").touch()
    for path in (tmp_path, tmp_path / "a.txt"):
        with pytest.raises(UserError, match=r"a corpus needs some text, and .* is empty"):
            load_path(str(path))


def test_one_short_line_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n")
    with pytest.raises(UserError, match="1 documents of 6 characters and nothing is left for validation"):
        load_path(str(tmp_path / "a.txt"))
