"""Nothing that is loaded can run code, no name from outside becomes a path, nothing that was there is deleted."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ablate import main
from harness.cli.prepare import leave_nothing_behind
from harness.engine.study import slug
from variants.errors import UserError

ROOT = Path(__file__).parent.parent
FILES = sorted([*ROOT.glob("harness/**/*.py"), *ROOT.glob("variants/**/*.py")])

PICKLES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib", "multiprocessing"}
"""Modules that load pickles, or exchange them with other processes."""

LISTENS = {"bind", "listen", "create_server", "start_server", "serve_forever", "HTTPServer", "ThreadingHTTPServer"}


def dangers(tree: ast.AST) -> Iterator[str]:
    """What in a file would load a pickle, hand text to a shell, or listen on the network."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"import {a.name}" for a in node.names if a.name.split(".")[0] in PICKLES)
        elif isinstance(node, ast.ImportFrom):
            names = {(node.module or "").split(".")[0], *(alias.name for alias in node.names)}
            if names & PICKLES:
                yield f"from {node.module} import"
        elif isinstance(node, ast.Call):
            yield from _dangers_of_call(node)


def _dangers_of_call(node: ast.Call) -> Iterator[str]:
    called = ast.unparse(node.func)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    last = called.rpartition(".")[2]
    if last == "load" and called.startswith("torch") and given.get("weights_only") != "True":
        yield f"{called} without weights_only=True"
    if last == "load" and called.startswith(("np", "numpy")) and given.get("allow_pickle") != "False":
        yield f"{called} without allow_pickle=False"
    if called in ("torch.save", "os.system", "os.popen", "eval") or last in ("read_pickle", "unsafe_load", *LISTENS):
        yield called
    if given.get("shell", "False") != "False" or given.get("trust_remote_code", "False") != "False":
        yield ast.unparse(node)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_that_is_loaded_can_run_code(path: Path) -> None:
    assert list(dangers(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "import multiprocessing.shared_memory",
        "from pickle import load",
        "from torch import multiprocessing",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "torch.save(x, path)",
        "pandas.read_pickle(path)",
        "subprocess.run(text, shell=True)",
        "eval(text)",
        "load_dataset(name, trust_remote_code=True)",
        "server.bind(('0.0.0.0', 80))",
    ],
)
def test_a_danger_is_found(code: str) -> None:
    assert list(dangers(ast.parse(code)))


def test_what_is_safe_is_not_taken_for_a_danger() -> None:
    code = "torch.load(p, weights_only=True); np.load(p, allow_pickle=False); model.eval(); json.load(f)"
    assert list(dangers(ast.parse(code))) == []


NAMES = st.text() | st.lists(st.sampled_from(["..", ".", "/", "\\", "\0", "\n", "~", "a", "-", "é", "$(x)"])).map(
    "".join
)


@given(NAMES)
def test_a_name_from_a_user_is_one_plain_path_component(name: str) -> None:
    made = slug(name)
    assert 0 < len(made) <= 60
    assert made.isascii()
    assert not set(made) & set("/\\\0\n ~$")
    assert made[0] not in ".-"
    assert Path("/base", made).resolve().parent == Path("/base")


@pytest.mark.parametrize(
    "words",
    [
        ["norm=../../registry"],
        ["norm=_shared"],
        ["../norm=rms"],
        ["norm=rms", "--baseline", "../gpt2"],
        ["norm=rms", "--tokenizer", "bpe:../../x"],
        ["norm=rms", "--tokenizer", "/etc/passwd"],
        ["norm=rms", "--data", "hf:../../x"],
        ["norm=rms", "--data", "hf:/nowhere"],
        ["norm=rms", "--tasks", "../../x"],
        ["norm=rms", "--tasks", "/etc/passwd"],
    ],
)
def test_a_path_in_place_of_a_name_is_refused(
    words: list[str], tiny_flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert main([*tiny_flags, *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_bad_input_removes_nothing_that_was_there(tmp_path: Path) -> None:
    """`new/../mine` names a folder that is there, though `new` is not."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes").write_text("years of work")
    with pytest.raises(UserError), leave_nothing_behind(tmp_path / "new" / ".." / "mine", tmp_path / "new"):
        raise UserError("bad input")
    assert (mine / "notes").read_text() == "years of work"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("theirs", ["store/runs/ab/record.json", "a-study/study.json"])
def test_bad_input_removes_nothing_of_another_study_that_came_meanwhile(tmp_path: Path, theirs: str) -> None:
    out = tmp_path / "out"

    def bad_command() -> None:
        with leave_nothing_behind(out, out / "store"):
            (out / theirs).parent.mkdir(parents=True)
            (out / theirs).write_text("{}")
            raise UserError("bad input")

    with pytest.raises(UserError):
        bad_command()
    assert (out / theirs).exists()
