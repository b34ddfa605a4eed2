"""What cannot be said is refused by name; old names and old configs are understood."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.model.huggingface.checkpoint import families, family_of, load_huggingface, save_huggingface
from harness.model.huggingface.links import joined, joined_by_head, less_one, rows, same, stacked, transposed
from harness.model.transformer import Transformer
from harness.plan.skeleton import skeleton
from harness.spec.presets import preset
from harness.spec.spec import Choice, Spec, choose, layer_rule
from variants.errors import UserError

LLAMA = preset("llama")


@pytest.mark.parametrize(
    ("spec", "obstacles"),
    [
        (Spec(norm=Choice("dyt")), ["norm=dyt"]),
        (Spec(ffn=Choice("mixffn")), ["ffn=mixffn"]),
        (Spec(bias=False), ["model.bias=False"]),
        (Spec(position=Choice("alibi")), ["position=alibi"]),
        (Spec(position=choose("rope", layout="interleaved", partial=0.5)), ["position"]),
        (Spec(logit_softcap=30.0), ["model.logit_softcap=30.0"]),
        (LLAMA.replace(attention=choose("gqa", n_kv_heads=1, softcap=20.0)), ["attention.softcap=20.0"]),
        (LLAMA.replace(attention=choose("mha", qk_norm="head"), bias=True), ["attention.qk_norm=head"]),
        (LLAMA.replace(layer_rules=(layer_rule(step=2, norm=Choice("layer")),)), ["layers that differ"]),
        (LLAMA.replace(ffn=Choice("switch")), ["ffn=switch"]),
        (LLAMA.replace(ffn=Choice("expert_choice")), ["ffn=expert_choice"]),
        (LLAMA.replace(norm=Choice("crms")), ["norm=crms"]),
        (LLAMA.replace(activation=Choice("relu2")), ["activation=relu2"]),
        (preset("switch-base-64"), ["position=t5"]),
        (preset("glam"), ["position=t5"]),
    ],
)
def test_what_no_class_can_express_is_refused_by_name(spec: Spec, obstacles: list[str]) -> None:
    with pytest.raises(UserError, match="no Hugging Face class") as refusal:
        family_of(spec)
    assert all(obstacle in str(refusal.value) for obstacle in obstacles)


@pytest.mark.parametrize(
    ("name", "model_type"),
    [
        ("gpt2", "gpt2"),
        ("gpt3", "gpt2"),
        ("gpt-neox-20b", "gpt_neox"),
        ("llama", "llama"),
        ("llama-3.1-70b", "llama"),
        ("minimind2", "llama"),
        ("mixtral-8x7b", "mixtral"),
        ("deepseek-v2", "deepseek_v2"),
        ("deepseek-v3", "deepseek_v3"),
        ("gemma-2-2b", "gemma2"),
        ("qwen3-0.6b", "qwen3"),
        ("olmo2-7b", "olmo2"),
    ],
)
def test_presets_have_their_class(name: str, model_type: str) -> None:
    assert family_of(preset(name)).model_type == model_type


def test_config_and_spec_are_inverses() -> None:
    """For every family at published size, on the meta device."""
    for name in ("gpt2", "llama-3.1-8b", "mixtral-8x7b", "qwen3-0.6b", "olmo2-7b", "gpt-neox-20b", "gemma-2-2b"):
        spec = preset(name)
        spec = spec.replace(d_ff=spec.d_ff or 4 * spec.d_model)
        family = family_of(spec)
        config = family.config(skeleton(spec))
        assert family.spec(json.loads(json.dumps(config))) == spec, name


@pytest.mark.parametrize("name", ["deepseek-v2", "deepseek-v3"])
def test_deepseek_config_keeps_the_scale(name: str) -> None:
    spec = preset(name).replace(n_layers=4)
    family = family_of(spec)
    config = family.config(skeleton(spec))
    again = family.spec(json.loads(json.dumps(config)))
    ours, theirs = dict(spec.attention.options), dict(again.attention.options)
    assert isinstance(theirs["scale"], float)
    assert isinstance(ours["scale"], float)
    assert math.isclose(theirs["scale"], ours["scale"], rel_tol=1e-12)
    assert again.replace(attention=spec.attention) == spec
    mscale = 0.707 if name == "deepseek-v2" else 1.0  # of the published config.json
    assert config["rope_scaling"]["mscale_all_dim"] == pytest.approx(mscale)


def test_every_link_is_undone_by_its_inverse() -> None:
    x, y, z = (torch.randn(8, 6) for _ in range(3))
    order = torch.randperm(8)
    for link in (same("a", "b"), transposed("a", "b"), rows(order)("a", "b")):
        assert torch.equal(link.read(link.write([x]))[0], x)
    assert torch.allclose(less_one("a", "b").read(less_one("a", "b").write([x]))[0], x)
    whole = torch.randn(4, 3, 2)
    assert torch.equal(stacked("a", "bcde").read(stacked("a", "bcde").write([whole]))[0], whole)
    for link in (joined("xyz", "b"), joined("xyz", "b", transpose=True), joined_by_head("xyz", "b", 2)):
        assert all(torch.equal(a, b) for a, b in zip(link.read(link.write([x, y, z])), (x, y, z), strict=True))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_huggingface(Transformer(Spec(seq_len=16), seed=0), tmp_path)
    return tmp_path


def rewrite(folder: Path, **entries: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | entries))


def test_names_without_their_prefix_are_read(folder: Path) -> None:
    """As openai-community/gpt2 was saved."""
    expected = load_huggingface(folder).state_dict()
    tensors = load_file(folder / "model.safetensors")
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    tensors["h.0.attn.bias"] = torch.ones(1, 1, 16, 16)  # the mask that old checkpoints carry
    save_file(tensors, folder / "model.safetensors")
    again = load_huggingface(folder).state_dict()
    assert all(torch.equal(again[n], expected[n]) for n in expected)


def test_a_checkpoint_in_several_files_is_read(folder: Path) -> None:
    tensors = list(load_file(folder / "model.safetensors").items())
    (folder / "model.safetensors").unlink()
    save_file(dict(tensors[:5]), folder / "model-00001-of-00002.safetensors")
    save_file(dict(tensors[5:]), folder / "model-00002-of-00002.safetensors")
    assert load_huggingface(folder).spec.n_layers == 2


def test_what_cannot_be_read_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no readable config\.json"):
        load_huggingface(tmp_path / "nowhere")
    rewrite(folder, n_embd=24)
    with pytest.raises(UserError, match="do not fit"):
        load_huggingface(folder)
    rewrite(folder, n_embd=48, activation_function="mish")
    with pytest.raises(UserError, match="'mish' has no equal"):
        load_huggingface(folder)
    rewrite(folder, activation_function="gelu", n_layer=3)
    with pytest.raises(UserError, match="lacks transformer"):
        load_huggingface(folder)
    rewrite(folder, n_layer=1)
    with pytest.raises(UserError, match="no place in the model"):
        load_huggingface(folder)
    rewrite(folder, model_type="t5")
    with pytest.raises(UserError, match="type 't5'"):
        load_huggingface(folder)
    rewrite(folder, model_type="llama")
    with pytest.raises(UserError, match="lacks "):
        load_huggingface(folder)
    (folder / "model.safetensors").unlink()
    rewrite(folder, model_type="gpt2")
    with pytest.raises(UserError, match=r"no \.safetensors"):
        load_huggingface(folder)


def test_every_family_names_itself() -> None:
    assert len({family.model_type for family in families()}) == len(list(families()))
