"""Arithmetic claims counted on the meta device: what share of a model its FFNs are, and what a norm costs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.plan.ledger import Ledger, count
from harness.spec.presets import preset
from harness.spec.spec import Spec
from variants import registry
from variants.slots import Flops

_FFN = re.compile(r"layers\.\d+\.ffn(\.|$)")
_LAYERS = re.compile(r"layers\.\d+\.")


@dataclass(frozen=True)
class FfnShare:
    """The FFNs' share of parameters and forward model FLOPs: of the layers alone, and of the whole model."""

    config: str
    params_of_layers: float
    params_of_model: float
    flops_of_layers: float
    flops_of_model: float


def ffn_share(config: str, spec: Spec) -> FfnShare:
    """The shares of one spec at its own seq_len, attention counted causal."""
    ledger = count(spec.replace(d_ff=spec.d_ff or 4 * spec.d_model))
    ffn, layers = _sums(ledger, _FFN), _sums(ledger, _LAYERS)
    return FfnShare(
        config, ffn[0] / layers[0], ffn[0] / ledger.total_params, ffn[1] / layers[1], ffn[1] / ledger.flops.model
    )


def _sums(ledger: Ledger, names: re.Pattern[str]) -> tuple[int, float]:
    chosen = [m for m in ledger.modules if names.match(m.name)]
    return sum(m.num_params for m in chosen), sum(m.flops.model for m in chosen)


def ffn_configs() -> dict[str, Spec]:
    """Models of the reference page (claim C9), and texts on both sides of T = 4d/3, up to which the closed form of an
    FFN of 8 d^2 beside full-width attention gives it 60 % of a layer's FLOPs.
    """
    gpt2 = preset("gpt2")
    wide = gpt2.replace(n_layers=2, d_model=4096, n_heads=32)
    return {
        "nano, T 128": Spec(),
        "MiniMind2-small (8x512), T 512": preset("minimind2-small").replace(seq_len=512),
        "MiniMind2 (16x768), T 512": preset("minimind2").replace(seq_len=512),
        "GPT-2 124M, T 1,024": gpt2.replace(seq_len=1024),
        "GPT-2 124M, T 8,192": gpt2.replace(seq_len=8192),
        "d 4,096, T 4,096": wide.replace(seq_len=4096),
        "d 4,096, T 32,768": wide.replace(seq_len=32_768),
    }


def is_short(spec: Spec) -> bool:
    """Whether T + 1 <= 4d/3: a query of a causal text sees (T + 1) / 2 keys on average."""
    return 3 * (spec.seq_len + 1) <= 4 * spec.d_model


def norm_costs(width: int) -> dict[str, float]:
    """Parameters and pointwise FLOPs per token of RMSNorm over LayerNorm's, as the variants declare them."""
    params, flops = {}, {}
    for name in ("layer", "rms"):
        module = registry.get("norm", name)(width)
        params[name] = sum(p.numel() for p in module.parameters())
        declared: Flops = module.flops(1)
        flops[name] = declared.norm
    return {"params_ratio": params["rms"] / params["layer"], "flops_ratio": flops["rms"] / flops["layer"]}
