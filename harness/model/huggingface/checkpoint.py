"""Write a model as a folder that transformers loads, and read such a folder."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness.model.huggingface.links import Links
from harness.model.transformer import Transformer
from harness.spec.spec import Spec
from variants.errors import UserError

FAMILIES = (
    "gpt2", "llama", "mixtral", "qwen3", "gemma2", "olmo2", "olmoe", "deepseek_v2", "deepseek_v3", "gpt_neox",
)  # fmt: skip
"""The files of this folder that hold a family; the first that can express a model is the one that is written."""


@runtime_checkable
class Family(Protocol):
    """One Hugging Face class and what it can say."""

    model_type: str
    architecture: str

    def obstacles(self, spec: Spec) -> list[str]:
        """What of a spec the class cannot express; nothing when it can."""
        ...

    def config(self, model: Transformer) -> dict[str, Any]:
        """The entries of config.json."""
        ...

    def spec(self, config: dict[str, Any]) -> Spec:
        """The inverse of `config`. Raises `UserError` where a config asks for what is not here."""
        ...

    def links(self, model: Transformer) -> Links:
        """Every tensor of the model and its counterpart."""
        ...


def families() -> Iterator[Family]:
    for name in FAMILIES:
        yield importlib.import_module(f"harness.model.huggingface.{name}").FAMILY


def family_of(spec: Spec) -> Family:
    """The first class that can express a spec.

    Raises:
        UserError: none can; the nearest is named with what stands in its way.
    """
    tried = [(family.obstacles(spec), family) for family in families()]
    for obstacles, family in tried:
        if not obstacles:
            return family
    obstacles, nearest = min(tried, key=lambda pair: len(pair[0]))
    raise UserError(
        f"no Hugging Face class can express this mix; the nearest is {nearest.architecture}, and in its way stand "
        f"{', '.join(obstacles)}"
    )


def save_huggingface(model: Transformer, folder: Path, end_of_text: int | None = None) -> Family:
    """Write `config.json` and `model.safetensors` of the class that can express the model.

    Args:
        end_of_text: id of the token that begins and ends a text; its tokenizer is written by `save_tokenizer`.

    Raises:
        UserError: no class can.
    """
    family = family_of(model.spec)
    links = family.links(model)
    state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items() if name in links.names}
    config = {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        "torch_dtype": str(model.embedding.weight.dtype).removeprefix("torch."),
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        **family.config(model),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file(links.to_theirs(state), folder / "model.safetensors", metadata={"format": "pt"})
    return family


def load_huggingface(folder: Path | str, *, dtype: torch.dtype = torch.float32) -> Transformer:
    """The model of a local transformers folder, in `dtype` whatever the folder's.

    Raises:
        UserError: no such folder, another family, or a config or tensors that have no equal here.
    """
    folder = Path(folder)
    config = _config(folder)
    known = {family.model_type: family for family in families()}
    if config.get("model_type") not in known:
        raise UserError(
            f"{folder} holds a model of type {config.get('model_type')!r}; those that can be read are "
            f"{', '.join(sorted(known))}"
        )
    family = known[config["model_type"]]
    try:
        spec = family.spec(config)
    except KeyError as error:
        raise UserError(f"{folder / 'config.json'} lacks {error}; it is of another model or was cut short") from error
    model = Transformer(spec, seed=None).to(dtype)
    links = family.links(model)
    tensors = {name: tensor.to(dtype) for name, tensor in _tensors(folder).items()}
    state = links.to_ours(_with_prefix(tensors, links))
    if spec.tied_head:
        state["head.weight"] = state["embedding.weight"]
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"the tensors in {folder} do not fit its config.json: {error}") from error
    return model


def _config(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} holds no readable config.json ({error}); name a transformers folder") from error


def _with_prefix(tensors: dict[str, Tensor], links: Links) -> dict[str, Tensor]:
    """Names as the class with a head has them; the first GPT-2 checkpoints were saved without `transformer.`."""
    prefix = next(name for link in links for name in link.theirs).partition(".")[0] + "."
    if any(name.startswith(prefix) for name in tensors):
        return tensors
    return {name if name == "lm_head.weight" else prefix + name: tensor for name, tensor in tensors.items()}


def _tensors(folder: Path) -> dict[str, Tensor]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(f"{folder} holds no .safetensors file; save the model with transformers' save_pretrained")
    tensors: dict[str, Tensor] = {}
    for file in files:
        try:
            tensors |= load_file(file)
        except SafetensorError as error:
            raise UserError(f"{file} cannot be read: {error}; it was cut short or damaged") from error
    return tensors
