from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.atomic import new_folder, write_text


def test_text_is_written_whole_and_replaced(tmp_path: Path) -> None:
    write_text(tmp_path / "a/b.json", "一")
    write_text(tmp_path / "a/b.json", "二")
    assert (tmp_path / "a/b.json").read_text(encoding="utf-8") == "二"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.json"]


def fill(path: Path, text: str, stop: bool = False) -> None:
    with new_folder(path) as folder:
        (folder / "x").write_text(text)
        if stop:
            raise KeyboardInterrupt


def test_a_folder_appears_when_it_is_full(tmp_path: Path) -> None:
    fill(tmp_path / "a", "1")
    assert (tmp_path / "a/x").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_first_of_two_writers_stays(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a") as slow:
        (slow / "x").write_text("slow")
        fill(tmp_path / "a", "quick")
    assert (tmp_path / "a/x").read_text() == "quick"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_stopped_writer_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "a", "half", stop=True)
    assert list(tmp_path.iterdir()) == []


def test_a_name_already_taken_by_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file")
    with pytest.raises(OSError, match="a"):
        fill(tmp_path / "a", "1", stop=False)
