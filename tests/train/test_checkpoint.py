"""A damaged checkpoint is found, whatever the damage; the one before it is used, and it is said."""

from __future__ import annotations

import errno
import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.spec.spec import Spec
from harness.train import checkpoint
from harness.train.checkpoint import FILES, CheckpointError, DamagedCheckpoint, Progress, checkpoints, restore, save
from harness.train.optimizer import make_optimizer

SPEC = Spec(n_layers=1, d_model=16, n_heads=2, d_ff=32, seq_len=8, vocab_size=32)


class Run:
    """A model and its optimizer, taking steps on made-up gradients."""

    def __init__(self, seed: int = 0, spec: Spec = SPEC) -> None:
        self.model = Transformer(spec, seed=seed)
        self.optimizer = make_optimizer(self.model, Recipe(tokens_per_step=32))

    def train(self, steps: range) -> None:
        for step in steps:
            for i, parameter in enumerate(self.model.parameters()):
                generator = torch.Generator().manual_seed(1000 * step + i)
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            self.optimizer.step()

    def save(self, folder: Path, step: int) -> None:
        save(folder, self.model, self.optimizer, Progress(step, torch.arange(2 * step).view(2, step) / 7, 1.5 * step))

    def state(self) -> dict[str, Tensor]:
        moments = checkpoint.moments_of(self.model, self.optimizer)
        return {k: v.clone() for k, v in {**checkpoint.weights_of(self.model), **moments}.items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, dict[str, Tensor], dict[str, Tensor]]:
    """A folder with the checkpoints of steps 3 and 5, and what they hold."""
    run, states = Run(), []
    for steps in (range(3), range(3, 5)):
        run.train(steps)
        run.save(tmp_path, steps.stop)
        states.append(run.state())
    return tmp_path, states[0], states[1]


def test_a_checkpoint_gives_back_every_bit(two: tuple[Path, dict[str, Tensor], dict[str, Tensor]]) -> None:
    folder, _, newest = two
    other = Run(seed=1)
    assert not same(other.state(), newest)
    progress = restore(folder, other.model, other.optimizer)
    assert progress is not None
    assert (progress.step, progress.seconds) == (5, 7.5)
    assert torch.equal(progress.history, torch.arange(10).view(2, 5) / 7)
    assert same(other.state(), newest)
    whole = Run()
    whole.train(range(8))
    other.train(range(5, 8))
    assert same(other.state(), whole.state())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 4] ^= 1
    path.write_bytes(bytes(data))


def change_step(path: Path) -> None:
    path.write_text(path.read_text().replace('"step": 5', '"step": 4'))


DAMAGE: list[tuple[str, Callable[[Path], object]]] = [
    *((name, harm) for name in (*FILES, "position.json") for harm in (cut, cut_in_half, flip, Path.unlink)),
    ("position.json", change_step),
    ("position.json", lambda path: path.write_bytes(b"")),
    ("position.json", lambda path: path.write_text("[]")),
    ("position.json", lambda path: path.write_text("[" * 100_000)),
    ("position.json", lambda path: path.write_text("{}")),
    ("weights.safetensors", lambda path: shutil.copy(path.parent / "history.safetensors", path)),
]


@pytest.mark.parametrize(("name", "harm"), DAMAGE)
def test_a_damaged_checkpoint_is_passed_over_and_it_says_so(
    name: str, harm: Callable[[Path], object], two: tuple[Path, dict[str, Tensor], dict[str, Tensor]]
) -> None:
    folder, older, _ = two
    harm(folder / "step-0000000005" / name)
    run = Run(seed=1)
    with pytest.warns(DamagedCheckpoint, match=r"step-0000000005 \(.*\): the run goes on from step 3$"):
        progress = restore(folder, run.model, run.optimizer)
    assert progress is not None
    assert progress.step == 3
    assert same(run.state(), older)


def test_when_all_are_damaged_the_run_starts_anew_and_it_says_so(
    two: tuple[Path, dict[str, Tensor], dict[str, Tensor]],
) -> None:
    folder, *_ = two
    for path in checkpoints(folder):
        flip(path / "optimizer.safetensors")
    run = Run(seed=1)
    with pytest.warns(DamagedCheckpoint, match=r"step-0000000005 .*step-0000000003 .*: the run starts anew$"):
        assert restore(folder, run.model, run.optimizer) is None
    assert same(run.state(), Run(seed=1).state()), "damaged tensors were loaded"


def test_another_models_checkpoint_is_not_half_loaded(
    two: tuple[Path, dict[str, Tensor], dict[str, Tensor]],
) -> None:
    folder, *_ = two
    deeper = SPEC.replace(n_layers=2)
    run = Run(seed=1, spec=deeper)
    with pytest.warns(DamagedCheckpoint, match="another model"):
        assert restore(folder, run.model, run.optimizer) is None
    assert same(run.state(), Run(seed=1, spec=deeper).state())


def test_the_previous_one_is_kept_even_where_a_damaged_one_lies_ahead(
    two: tuple[Path, dict[str, Tensor], dict[str, Tensor]],
) -> None:
    folder, *_ = two
    flip(folder / "step-0000000005" / FILES[0])
    run = Run()
    run.train(range(4))
    run.save(folder, 4)
    assert [path.name for path in checkpoints(folder)] == ["step-0000000003", "step-0000000004"]
    run.save(folder, 6)
    assert [path.name for path in checkpoints(folder)] == ["step-0000000004", "step-0000000006"]


def test_what_killed_processes_left_is_neither_read_nor_kept(tmp_path: Path) -> None:
    abandoned = tmp_path / "writing-999999"
    abandoned.mkdir()
    (abandoned / FILES[0]).write_bytes(b"half")
    (tmp_path / "step-x").mkdir()
    run = Run()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert restore(tmp_path, run.model, run.optimizer) is None
    run.save(tmp_path, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-0000000001", "step-x"]


@pytest.mark.parametrize("call", ["fsync", "rename", "mkdir"])
def test_a_full_disk_is_said_and_the_checkpoints_stand(
    call: str, two: tuple[Path, dict[str, Tensor], dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, newest = two

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = Run()
    run.train(range(7))
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(CheckpointError, match="No space left on device"):
            run.save(folder, 7)
    assert [path.name for path in folder.iterdir() if path.name.startswith("writing")] == []
    again = Run(seed=1)
    restored = restore(folder, again.model, again.optimizer)
    assert restored is not None
    assert restored.step == 5
    assert same(again.state(), newest)


def test_a_checkpoint_is_files_that_run_nothing(two: tuple[Path, dict[str, Tensor], dict[str, Tensor]]) -> None:
    folder, *_ = two
    assert {path.name for path in checkpoints(folder)[-1].iterdir()} == {*FILES, "position.json"}
    for name in FILES:  # the format: 8 bytes of length, then JSON, then numbers
        data = (checkpoints(folder)[-1] / name).read_bytes()
        assert json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
