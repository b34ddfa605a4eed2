"""Shares of FLOPs and parameters against the closed form of definitions, claim C9; costs of norms against C5's."""

from __future__ import annotations

import pytest

from harness.plan.shares import ffn_configs, ffn_share, is_short, norm_costs
from harness.spec.presets import preset


@pytest.mark.parametrize("seq_len", [128, 1024, 8192])
def test_the_closed_form_without_biases(seq_len: int) -> None:
    """FFN 16 d^2 of 24 d^2 + 2 d (T + 1) FLOPs a token and layer, and 8 d^2 of 12 d^2 parameters beside the norms."""
    spec = preset("gpt2").replace(seq_len=seq_len, bias=False)
    d, share = spec.d_model, ffn_share("gpt2", spec)
    assert share.flops_of_layers == pytest.approx(16 * d / (24 * d + 2 * (seq_len + 1)))
    assert share.params_of_layers == pytest.approx(8 * d**2 / (12 * d**2 + 2 * 2 * d))
    assert share.params_of_model < share.params_of_layers
    assert share.flops_of_model < share.flops_of_layers


def test_short_texts_are_those_that_give_60_percent() -> None:
    for name, spec in ffn_configs().items():
        if spec.attention.variant == "mha":
            assert is_short(spec) == (ffn_share(name, spec.replace(bias=False)).flops_of_layers >= 0.6), name


def test_gpt2_as_published() -> None:
    share = ffn_share("gpt2", preset("gpt2").replace(seq_len=1024))
    assert share.flops_of_layers == pytest.approx(0.600, abs=5e-4)
    assert share.flops_of_model == pytest.approx(0.426, abs=5e-4)


def test_norms_cost_what_their_formulas_say() -> None:
    """LayerNorm about 7 d FLOPs and 2 d parameters, RMSNorm 4 d and d (definitions 0.3)."""
    assert norm_costs(384) == {"params_ratio": 0.5, "flops_ratio": pytest.approx(4 / 7)}
