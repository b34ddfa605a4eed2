"""A run folder of the store, opened again: its model with the trained weights, and its tokenizer.

STORE/runs/ab/ab12.../ holds record.json and weights.safetensors; STORE/data/<hash>/ holds the tokenizer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from harness.data.dataset import load_tokenizer
from harness.data.tokenizer import Tokenizer
from harness.model.transformer import Transformer
from harness.spec.digest import json_sha256
from harness.spec.spec import Spec
from harness.train.checkpoint import file_sha256
from variants.errors import UserError


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """A finished run. `identity` is its record's: spec, recipe, num_steps, seed, data, code, torch, device.

    `data_folder` holds the tokenized corpora; `harness.data.dataset.load(data_folder, data_sha256)` opens the run's.
    """

    model: Transformer
    tokenizer: Tokenizer
    identity: dict[str, Any]
    data_folder: Path

    @property
    def data_sha256(self) -> str:
        return self.identity["data"]


def load_run(folder: Path, *, device: torch.device | None = None, data_folder: Path | None = None) -> LoadedRun:
    """Open a run folder; the model is on `device` (the CPU when None) and in evaluation mode.

    Args:
        data_folder: where the tokenizer is; the data folder of the store the run lies in when None.

    Raises:
        UserError: no such folder, an unfinished run, damaged weights, or the tokenizer is not there.
    """
    identity = _identity(folder)
    data = data_folder or folder.resolve().parents[2] / "data"
    tokenizer = load_tokenizer(data, identity["data"])
    model = _skeleton(identity["spec"], folder)
    _load_weights(model, folder / "weights.safetensors", identity["weights_sha256"])
    return LoadedRun(model.to(device or "cpu").eval(), tokenizer, identity, data)


def _identity(folder: Path) -> dict[str, Any]:
    """The record's identity and the digest of its weights."""
    path = folder / "record.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        status, identity, key = record["status"], record["identity"], record["key"]
        digest = json_sha256(identity)
        identity = {**identity, "weights_sha256": record["weights_sha256"]}
    except FileNotFoundError:
        raise UserError(
            f"a run is a folder with record.json and weights.safetensors, and {folder} has no record.json; "
            "finished runs are under STORE/runs/, e.g. reports/store/runs/ab/ab12..."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is not a run's record ({error}); it was damaged or is another file") from error
    if digest != key:  # a run's key is the digest of its identity (harness/engine/identity.py)
        raise UserError(f"{path} is of a run that is not {key!r}; it was damaged or edited by hand")
    if status != "finished":
        raise UserError(f"{folder} is a run that {status}, so it has no weights; choose a finished one")
    return identity


def _skeleton(spec: dict[str, Any], folder: Path) -> Transformer:
    """The model of a record, its weights not yet there."""
    try:
        return Transformer(Spec.from_json(spec), seed=None)
    except (KeyError, TypeError) as error:  # a field or an option that there is no more, or that is new
        raise UserError(f"{folder} was trained by other code ({error}); use that, or train the run again") from error


def _load_weights(model: Transformer, path: Path, sha256: str) -> None:
    if not path.is_file():
        raise UserError(f"{path.parent} has a record and no weights.safetensors; train the run again")
    if file_sha256(path) != sha256:
        raise UserError(f"{path} does not match the sha256 in its record; it was damaged or replaced")
    try:
        weights = load_file(path)
        # not strict: a tied matrix is saved once, under its first name
        missing, unexpected = model.load_state_dict(weights, strict=False)
    except (SafetensorError, RuntimeError) as error:
        raise UserError(f"{path} does not fit its record's spec ({error}); the code has changed since") from error
    tied = {"head.weight"} if model.spec.tied_head else set()
    if unexpected or set(missing) - tied:
        raise UserError(
            f"{path} does not fit its record's spec (missing {sorted(set(missing) - tied)}, unexpected "
            f"{sorted(unexpected)}); the code has changed since"
        )
