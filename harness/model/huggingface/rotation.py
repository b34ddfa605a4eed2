"""RoPE's options as the keys of a Hugging Face config, and the order of a head's dimensions in its two layouts.

Written as `rope_theta` and `rope_scaling`, the keys of the published checkpoints, which every version of
transformers reads; newer ones write `rope_parameters`, which is read too.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from harness.spec.spec import Choice, Value, choose
from variants.errors import UserError

OPTIONS = (
    "theta", "layout", "scaling", "factor", "original_len", "attention_factor",
    "beta_fast", "beta_slow", "low_freq", "high_freq",
)  # fmt: skip
"""Options of position=rope that these keys can say; `partial` is the family's own."""


def config(position: nn.Module, size: int) -> dict[str, Any]:
    """The keys for a RoPE that turns `size` dimensions. A fixed NTK scaling is another theta, and written so."""
    f = cast("Any", position).frequencies
    if f.scaling == "none":
        return {"rope_theta": f.theta, "rope_scaling": None}
    if f.scaling == "ntk":
        return {"rope_theta": f.theta * f.factor ** (size / max(size - 2, 1)), "rope_scaling": None}
    scaling: dict[str, Any] = {"rope_type": f.scaling, "factor": f.factor}
    if f.scaling == "yarn":
        scaling |= {"beta_fast": f.beta_fast, "beta_slow": f.beta_slow, "attention_factor": f.magnitude}
    if f.scaling == "llama3":
        scaling |= {"low_freq_factor": f.low_freq, "high_freq_factor": f.high_freq}
    if f.scaling != "linear":
        scaling["original_max_position_embeddings"] = f.original_len
    return {"rope_theta": f.theta, "rope_scaling": scaling}


def parameters(config: dict[str, Any]) -> dict[str, Any]:
    """theta, type and scaling of a config, whichever way it was written."""
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    found = {"rope_theta": config.get("rope_theta", config.get("rotary_emb_base", 10_000.0)), **scaling}
    found["rope_type"] = found.get("rope_type") or found.pop("type", None) or "default"
    return found


def choice(config: dict[str, Any], **others: Value) -> Choice:
    """The position that a config asks for.

    Raises:
        UserError: its scaling has no equal here.
    """
    found = parameters(config)
    kind, options = found["rope_type"], dict(others)
    if float(found["rope_theta"]) != 10_000.0:
        options["theta"] = float(found["rope_theta"])
    if kind == "default":
        return choose("rope", **options)
    if kind not in ("linear", "yarn", "llama3"):
        raise UserError(f"RoPE scaling {kind!r} has no equal here; known are linear, yarn and llama3")
    options |= {"scaling": kind, "factor": float(found["factor"])}
    if kind != "linear":
        options["original_len"] = int(found["original_max_position_embeddings"])
    if kind == "yarn":
        options |= _yarn(found)
    if kind == "llama3":
        known = {"low_freq": ("low_freq_factor", 1.0), "high_freq": ("high_freq_factor", 4.0)}
        options |= {k: float(found[name]) for k, (name, usual) in known.items() if found.get(name, usual) != usual}
    return choose("rope", **options)


def _yarn(found: dict[str, Any]) -> dict[str, Value]:
    """beta_fast, beta_slow and attention_factor where they are not the usual ones."""
    if found.get("truncate") is False:
        raise UserError("YaRN with truncate=false has no equal here; its ramp ends between two pairs")
    options: dict[str, Value] = {}
    for name, usual in {"beta_fast": 32.0, "beta_slow": 1.0}.items():
        if float(found.get(name) or usual) != usual:
            options[name] = float(found[name])
    own = found.get("attention_factor")
    if own is None and found.get("mscale") and found.get("mscale_all_dim"):
        own = magnitude(found["factor"], found["mscale"]) / magnitude(found["factor"], found["mscale_all_dim"])
    if own is not None and own != magnitude(found["factor"]):
        options["attention_factor"] = float(own)
    return options


def magnitude(factor: float, mscale: float = 1.0) -> float:
    """YaRN's 0.1 mscale ln(factor) + 1 (arXiv:2309.00071, equation 22, with DeepSeek's mscale)."""
    return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0


def half_order(n_heads: int, d_head: int, turning: int, *, interleaved: bool) -> Tensor:
    """Our row for each row of a half-split head: 0, 2, 4, ..., 1, 3, 5, ... of the dimensions that turn."""
    order = torch.arange(d_head)
    if interleaved:
        order = torch.cat((torch.arange(0, turning, 2), torch.arange(1, turning, 2), order[turning:]))
    return (torch.arange(n_heads)[:, None] * d_head + order).flatten()
