"""Checks of equality: they hold where the claim does, and would not hold for another model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.score import exactness
from harness.score.exactness import batch_independence, cached_decoding, norm_conversion
from harness.score.throughput.norm_kernels import EPS, layer_norm, norm_kernels, rms_norm
from harness.spec.spec import Choice, Spec
from variants.errors import UserError

SMALL = Spec(n_layers=1, d_model=12, n_heads=2, d_ff=20, seq_len=16, vocab_size=17)


def test_norms_are_converted_exactly() -> None:
    found = norm_conversion(SMALL)
    assert found["functions_fp64"] < 1e-10
    assert found["relative_fp32"] < 1e-4
    assert found["training"] < 1e-8
    assert found["training"] == max(found["training_sgd"], found["training_adamw"])


def test_a_wrong_conversion_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def swapped(model):
        return exactness.Transformer(model.spec.replace(norm=Choice("rms")), seed=0).to(model.embedding.weight.dtype)

    monkeypatch.setattr(exactness, "to_rms", swapped)
    assert norm_conversion(SMALL)["functions_fp64"] > 0.01


def test_decoding_with_a_state_is_one_pass() -> None:
    found = cached_decoding(SMALL)
    assert found["largest"] == max(gap for name, gap in found.items() if name != "largest")
    assert 0 < found["largest"] < 1e-5


def test_batch_mates_do_not_matter() -> None:
    assert max(batch_independence(SMALL).values()) < 1e-12


def test_elementary_norms_are_torchs() -> None:
    x = torch.randn(5, 8, dtype=torch.float64)
    weight, bias = torch.randn(8, dtype=torch.float64), torch.randn(8, dtype=torch.float64)
    torch.testing.assert_close(layer_norm(x, weight, bias), nn.functional.layer_norm(x, (8,), weight, bias, EPS))
    torch.testing.assert_close(rms_norm(x, weight), nn.functional.rms_norm(x, (8,), weight, EPS))


@pytest.mark.parametrize("backward", [False, True])
def test_a_norm_is_timed_against_the_other(backward: bool) -> None:
    found = norm_kernels("elementary", 8, backward, 2, torch.device("cpu"))
    assert found["log_ratio"]["num_blocks"] == 2
    assert found["layer_seconds"]["median"] > 0
    assert found["ideal_bytes"] == 2 * 4096 * 8 * 4
    with pytest.raises(UserError, match="did you mean 'fused'"):
        norm_kernels("fussed", 8, backward, 2, torch.device("cpu"))  # type: ignore[arg-type]
