"""Two processes train what one does, to fp32 rounding; their checkpoints serve one process, and hold no pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from harness.engine.torchrun import loopback, torchrun
from harness.model.transformer import Transformer
from harness.spec.spec import Choice, choose
from harness.train.checkpoint import DamagedCheckpoint, RunNote, checkpoints, weights_of
from harness.train.parallel import Parallel, check_devices, unsplittable
from harness.train.team import Team
from harness.train.trainer import train
from tests.train.team_script import RECIPE, SMALL, SPECS, STEPS, Texts, losses_with
from variants.errors import UserError

ROUNDING = 1e-5
"""Largest difference of a loss, as a share. 3e-7 was measured over 60 steps."""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what two processes did."""
    folder = tmp_path_factory.mktemp("two")
    with torchrun(2, folder, "tests.train.team_script", str(folder)) as process:
        process.communicate(timeout=600)
    assert process.returncode == 0
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Tensor, dict[str, Tensor]]]:
    """Losses and weights of one process."""
    runs = {}
    for name, spec in SPECS.items():
        model = Transformer(spec, seed=0)
        training = train(model, Texts(), RECIPE, STEPS, folder=tmp_path_factory.mktemp("one"))
        runs[name] = (training.losses, weights_of(model))
    return runs


def off(losses: Tensor, expected: Tensor) -> float:
    return ((losses - expected) / expected).abs().max().item()


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
@pytest.mark.parametrize("name", SPECS)
def test_the_losses_are_those_of_one_process(
    two: Path, one: dict[str, tuple[Tensor, dict[str, Tensor]]], kind: str, name: str
) -> None:
    expected, weights = one[name]
    assert expected[-1] < 0.8 * expected[0], "nothing was learnt, so nothing was compared"
    found = load_file(two / f"{kind} {name}.safetensors")
    assert off(found.pop("losses"), expected) < ROUNDING
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in weights.items()}
    for buffer in (key for key in weights if key.endswith("selection_bias")):
        torch.testing.assert_close(found[buffer], weights[buffer])
        assert weights[buffer].abs().max() > 0


def test_recomputed_activations_give_two_processes_the_same_bits(two: Path) -> None:
    plain, again = (load_file(two / f"fsdp moe{name}.safetensors") for name in ("", " recomputed"))
    assert plain.keys() == again.keys()
    assert all(torch.equal(plain[name], again[name]) for name in plain)


def test_counts_of_a_part_would_be_seen(two: Path, one: dict[str, tuple[Tensor, dict[str, Tensor]]]) -> None:
    """The balance loss of each process's own part is another loss."""
    assert off(load_file(two / "parts moe.safetensors")["losses"], one["moe"][0]) > 10 * ROUNDING


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Team]:
    """A team of one, in this process."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", loopback())
    yield Team(Parallel("fsdp", 1), 0, tmp_path / "meeting")
    torch.distributed.destroy_process_group()


def test_one_process_goes_on_where_two_stopped(
    two: Path, one: dict[str, tuple[Tensor, dict[str, Tensor]]], alone: Team, tmp_path: Path
) -> None:
    shutil.copytree(two / "stopped", tmp_path / "run")
    (newest,) = checkpoints(tmp_path / "run")
    files = {"history.safetensors", *(f"shard-0000{i}-model-00001-of-00001.safetensors" for i in (1, 2))}
    assert {path.name for path in newest.iterdir()} == {*files, "position.json"}
    with pytest.warns(RunNote, match="trained by fsdp over 2 processes up to step 10, the run goes on by fsdp over 1"):
        losses, _ = losses_with(alone, "moe", tmp_path / "run")
    written_by_two = load_file(newest / "history.safetensors")["history"][0]
    assert torch.equal(losses[:10], written_by_two)
    assert off(losses, one["moe"][0]) < ROUNDING
    assert alone.remark() == "trained by fsdp over 2 processes from step 0, by fsdp over 1 process from step 10"


def test_a_checkpoint_of_several_is_safetensors_and_json(two: Path) -> None:
    """The format: 8 bytes of length, then JSON, then numbers."""
    (newest,) = checkpoints(two / "stopped")
    shards = sorted(newest.glob("shard-*"))
    headers = []
    for path in (*shards, newest / "history.safetensors"):
        data = path.read_bytes()
        headers.append(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]))
    first, second = headers[0], headers[1]
    assert first["weights|layers.0.ffn.up.weight"]["shape"] == [2, 32, 24]  # two of four experts
    assert second["weights|layers.0.ffn.up.weight"]["shape"] == [2, 32, 24]


@pytest.mark.parametrize("file", ["shard-00002-model-00001-of-00001.safetensors", "history.safetensors"])
def test_a_damaged_shard_is_found(two: Path, alone: Team, tmp_path: Path, file: str) -> None:
    shutil.copytree(two / "stopped", tmp_path / "run")
    (newest,) = checkpoints(tmp_path / "run")
    data = bytearray((newest / file).read_bytes())
    data[-1] ^= 1
    (newest / file).write_bytes(data)
    model = alone.place(Transformer(SPECS["moe"], seed=0), torch.device("cpu"))
    before = alone.weights(model)
    with pytest.warns(DamagedCheckpoint, match=rf"{file} does not match its checksum\): the run starts anew"):
        assert alone.restore(tmp_path / "run", model, torch.optim.AdamW(model.parameters())) is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in alone.weights(model).items())


def test_another_models_shards_are_refused(two: Path, alone: Team) -> None:
    model = alone.place(Transformer(SPECS["dense"], seed=0), torch.device("cpu"))
    with pytest.warns(DamagedCheckpoint, match="another model"):
        assert alone.restore(two / "stopped", model, torch.optim.AdamW(model.parameters())) is None


def test_what_cannot_be_split_is_said() -> None:
    fire = Transformer(SMALL.replace(position=Choice("fire")), seed=0)
    assert unsplittable(fire, Parallel("ddp", 2)) is None
    assert "position.c is a single number; use --parallel ddp" in str(unsplittable(fire, Parallel("fsdp", 2)))
    leaking = Transformer(SMALL.replace(ffn=choose("expert_choice", leaks=True)), seed=0)
    assert "layers.0.ffn (ExpertChoice)" in str(unsplittable(leaking, Parallel("ddp", 2)))
    with pytest.raises(UserError, match="needs --device cpu or cuda, got mps"):
        check_devices("mps", 2)
