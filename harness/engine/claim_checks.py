"""The exact checks that a claim may ask for by name: numbers without sampling, had in seconds and without training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.plan.shares import ffn_configs, ffn_share, is_short, norm_costs
from harness.records.claim import Claim
from harness.score.exactness import batch_independence, cached_decoding, norm_conversion
from harness.spec.spec import Spec
from variants.errors import UserError, nearest

Check = Callable[[Spec], dict[str, Any]]
"""From the ledger's baseline to {"values": numbers by name, "columns" and "rows" of a table where there is one}."""


def _values(compute: Callable[[Spec], dict[str, float]]) -> Check:
    return lambda spec: {"values": compute(spec)}


def _ffn_shares(spec: Spec) -> dict[str, Any]:
    configs = ffn_configs()
    shares = {name: ffn_share(name, config) for name, config in configs.items()}
    short = [share for name, share in shares.items() if is_short(configs[name])]
    columns = ("params_of_layers", "params_of_model", "flops_of_layers", "flops_of_model")
    values = {f"least_{column}": min(getattr(share, column) for share in shares.values()) for column in columns}
    values["least_flops_of_layers_short"] = min(share.flops_of_layers for share in short)
    table = [[share.config, *(f"{getattr(share, column):.1%}" for column in columns)] for share in shares.values()]
    heads = ["model", "parameters of layers", "parameters of model", "FLOPs of layers", "FLOPs of model"]
    return {"values": values, "columns": heads, "rows": table}


CHECKS: dict[str, Check] = {
    "norm_conversion": _values(norm_conversion),
    "cached_decoding": _values(cached_decoding),
    "batch_independence": _values(batch_independence),
    "norm_costs": _values(lambda spec: norm_costs(spec.d_model)),
    "ffn_shares": _ffn_shares,
}


def require_checks(claim: Claim) -> None:
    """Refuse a check that does not exist, before anything is computed."""
    for q in (q for q in claim.questions if q.measure == "check"):
        if q.of["check"] not in CHECKS:
            raise UserError(
                f"claim {claim.id}: {q.name} asks for the check {q.of['check']!r}{nearest(q.of['check'], CHECKS)}"
            )


def run_checks(claim: Claim, spec: Spec) -> dict[str, dict[str, Any]]:
    """The checks of a claim, each once.

    Raises:
        UserError: a question asks a check for a value that it does not give.
    """
    found: dict[str, dict[str, Any]] = {}
    for q in (q for q in claim.questions if q.measure == "check"):
        name = q.of["check"]
        if name not in found:
            found[name] = CHECKS[name](spec)
        if q.of["value"] not in found[name]["values"]:
            known = found[name]["values"]
            raise UserError(f"claim {claim.id}: {name} gives no value {q.of['value']!r}{nearest(q.of['value'], known)}")
    return found
