"""The ledger against the closed forms of definitions 3.1 and C9, and the figures that follow from them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.plan.ledger import Ledger, count
from harness.plan.traffic import ELEMENT_BYTES
from harness.spec.presets import preset
from harness.spec.spec import Choice, Spec, choose, layer_rule
from variants.slots import causal_keys


def modules(ledger: Ledger, part: str) -> float:
    """Forward model FLOPs of the modules whose name contains `part`."""
    return sum(m.flops.model for m in ledger.modules if part in m.name)


@settings(max_examples=25, deadline=None)
@given(
    heads=st.sampled_from([1, 2, 4]),
    d_head=st.sampled_from([4, 8, 16]),
    d_ff=st.integers(1, 64),
    seq_len=st.integers(2, 40),
    vocab_size=st.integers(2, 50),
    n_layers=st.integers(1, 3),
)
def test_gpt2_closed_form(heads: int, d_head: int, d_ff: int, seq_len: int, vocab_size: int, n_layers: int) -> None:
    d = heads * d_head
    spec = Spec(
        n_layers=n_layers, d_model=d, n_heads=heads, d_ff=d_ff, seq_len=seq_len, vocab_size=vocab_size, bias=False
    )
    ledger = count(spec)
    projections, ffn = 8 * d * d, 4 * d * d_ff
    attention = 4 * d * (seq_len + 1) / 2
    assert ledger.flops.matmul == n_layers * (projections + ffn) + 2 * d * vocab_size
    assert ledger.flops.attention == n_layers * attention
    assert ledger.flops.attention + ledger.flops.attention_masked == n_layers * 4 * d * seq_len
    assert ledger.training_flops_per_token == 3 * ledger.flops.model
    assert ledger.flops.norm == 7 * d * (2 * n_layers + 1)
    assert ledger.total_params == n_layers * (4 * d * d + 2 * d * d_ff + 4 * d) + 2 * d + d * (vocab_size + seq_len)
    assert ledger.non_embedding_params == ledger.total_params - d * (vocab_size + seq_len)


@pytest.mark.parametrize("n_kv_heads", [1, 2, 4])
def test_grouped_queries_closed_form(n_kv_heads: int) -> None:
    d, heads, d_head = 48, 4, 20  # heads * d_head is not d_model
    spec = Spec(n_heads=heads, d_head=d_head, attention=choose("gqa", n_kv_heads=n_kv_heads), bias=False)
    ledger = count(spec)
    per_layer = 2 * d * heads * d_head + 4 * d * n_kv_heads * d_head + 2 * heads * d_head * d
    assert modules(ledger, ".attention.") == 2 * per_layer
    assert ledger.flops.attention == 2 * 4 * heads * d_head * causal_keys(128)
    assert ledger.cache is not None
    assert ledger.cache.bytes_per_token == ELEMENT_BYTES * 2 * 2 * n_kv_heads * d_head


def test_sliding_window_closed_form() -> None:
    spec, w, t = Spec(attention=choose("window", window=32)), 32, 128
    keys = (w * (w + 1) / 2 + (t - w) * w) / t
    assert count(spec).flops.attention == 2 * 4 * 48 * keys


def test_mla_closed_form() -> None:
    d, h, r_kv, r_q, d_n, d_r, d_v = 48, 2, 12, 16, 8, 4, 10
    mla = choose("mla", kv_rank=r_kv, q_rank=r_q, d_nope=d_n, d_rope=d_r, d_value=d_v)
    ledger = count(Spec(n_heads=h, attention=mla, bias=False))
    q = 2 * d * r_q + 2 * r_q * h * (d_n + d_r)
    kv = 2 * d * (r_kv + d_r) + 2 * r_kv * h * (d_n + d_v)
    assert modules(ledger, ".attention.") == 2 * (q + kv + 2 * h * d_v * d)
    assert ledger.flops.attention == 2 * 2 * h * (d_n + d_r + d_v) * causal_keys(128)
    assert ledger.cache is not None
    assert ledger.cache.bytes_per_token == ELEMENT_BYTES * 2 * (r_kv + d_r)


def test_mla_decodes_on_its_latents() -> None:
    """A token's projections and head, and attention over 128 + 1 latents and rotary keys of every layer."""
    mla = choose("mla", kv_rank=12, q_rank=16, d_nope=8, d_rope=4, d_value=10)
    ledger = count(Spec(n_heads=2, attention=mla, bias=False))
    assert ledger.decode_flops_per_token == ledger.flops.matmul + 2 * (2 * 2 * (2 * 12 + 4) * 129)


@pytest.mark.parametrize(("activation", "matrices"), [("gelu", 2), ("swiglu", 3)])
def test_mixture_closed_form(activation: str, matrices: int) -> None:
    d, d_e, experts, top_k, shared = 48, 20, 6, 2, 3
    spec = Spec(
        ffn=choose("deepseek", num_experts=experts, top_k=top_k, n_shared=shared),
        activation=Choice(activation),
        d_ff=d_e,
        bias=False,
    )
    ledger, dense = count(spec), count(spec.replace(ffn=Choice("dense")))
    one = matrices * d * d_e
    assert ledger.flops.router == 2 * 2 * d * experts
    assert ledger.flops.matmul - dense.flops.matmul == 2 * 2 * one * (top_k + shared - 1)
    assert ledger.total_params - dense.total_params == 2 * (one * (experts + shared - 1) + d * experts)
    assert ledger.total_params - ledger.active_params == 2 * one * (experts - top_k)


def test_convolution_closed_form() -> None:
    ledger, dense = count(Spec(ffn=choose("mixffn", kernel=5))), count(Spec())
    assert ledger.flops.conv == 2 * 2 * 5 * 4 * 48
    assert ledger.flops.matmul == dense.flops.matmul
    assert ledger.cache is not None
    assert dense.cache is not None
    assert ledger.cache.bytes_per_token == dense.cache.bytes_per_token
    assert ledger.cache.fixed_bytes == ELEMENT_BYTES * 2 * 4 * 4 * 48


def shares(spec: Spec) -> tuple[float, float, float, float]:
    """Of the FFN: parameters without and with embeddings, FLOPs without and with the head."""
    ledger = count(spec)
    weights = sum(m.num_params for m in ledger.modules if ".ffn." in m.name)
    blocks = sum(m.num_params for m in ledger.modules if m.name.startswith("layers."))
    ffn, layers = modules(ledger, ".ffn"), modules(ledger, "layers.")
    return weights / blocks, weights / ledger.total_params, ffn / layers, ffn / ledger.flops.model


def test_c9_ffn_share() -> None:
    """Definitions C9, without a position table: GPT-2 66.7/45.8 % of parameters and 60.0/42.6 % of FLOPs;
    MiniMind 8 x 512, multi-head, 67.3/59.7 % and 62.3/55.7 %."""
    gpt2 = preset("gpt2").replace(bias=False, position=Choice("none"))
    assert shares(gpt2) == pytest.approx((0.667, 0.458, 0.600, 0.426), abs=1e-3)
    minimind = preset("minimind2-small").replace(attention=Choice("mha"), seq_len=512)
    assert shares(minimind) == pytest.approx((0.673, 0.597, 0.623, 0.557), abs=1e-3)


@pytest.mark.parametrize(("seq_len", "more"), [(64, True), (62, True), (66, False), (128, False)])
def test_c9_threshold(seq_len: int, more: bool) -> None:
    """The FFN has 60 % of a layer's FLOPs iff seq_len <= 4 d / 3, up to the half position of (T + 1) / 2."""
    spec = Spec(seq_len=seq_len - 1, bias=False)  # (T + 1) / 2 keys on average
    assert (shares(spec)[2] >= 0.6 - 1e-12) == more


def test_six_n_is_unusable_at_small_scale() -> None:
    """Definitions 3.1: 6 N_non-embedding is 0.64 of the exact count for GPT-2, 0.26 for 2 x 128 with V = 8192."""
    gpt2 = count(preset("gpt2"))
    assert 6 * gpt2.non_embedding_params / gpt2.training_flops_per_token == pytest.approx(0.64, abs=5e-3)
    small = count(Spec(n_layers=2, d_model=128, n_heads=4, vocab_size=8192, seq_len=256))
    assert 6 * small.non_embedding_params / small.training_flops_per_token == pytest.approx(0.26, abs=5e-3)
    assert small.hardware_flops_per_token / small.training_flops_per_token == pytest.approx(1.04, abs=5e-3)


def test_decoding_costs_the_difference_of_two_texts() -> None:
    spec = Spec()
    whole = [t * count(spec.replace(seq_len=t, position=Choice("none"))).flops.model for t in (128, 129)]
    assert count(spec).decode_flops_per_token == pytest.approx(whole[1] - whole[0])
    d, v = 48, 257
    assert count(spec).decode_flops_per_token == 2 * (24 * d * d + 4 * d * 129) + 2 * d * v


def test_a_window_bounds_decoding_and_its_cache() -> None:
    spec = Spec(attention=choose("window", window=16))
    near, far = count(spec.replace(seq_len=64)), count(spec.replace(seq_len=512))
    assert near.decode_flops_per_token == far.decode_flops_per_token
    assert near.cache is not None
    assert far.cache is not None
    assert far.cache.bytes_at_context == near.cache.bytes_at_context == 16 * near.cache.bytes_per_token
    assert far.cache.windowed_layers == 2


def test_a_variant_that_cannot_decode_has_no_cache() -> None:
    ledger = count(Spec(ffn=choose("expert_choice", leaks=True)))
    assert ledger.cache is None
    assert ledger.to_json()["decode_flops_per_token"] is None


def test_bytes_of_a_projection_and_of_experts() -> None:
    t, d, d_ff = 128, 48, 192
    up = next(m for m in count(Spec()).modules if m.name == "layers.0.ffn.up")
    assert up.traffic.bytes_per_token(t) == ELEMENT_BYTES * (d + d_ff + (d * d_ff + d_ff) / t)
    assert up.arithmetic_intensity(t) == 2 * d * d_ff / up.traffic.bytes_per_token(t)
    mixture = count(Spec(ffn=choose("mixtral", num_experts=4, top_k=2), bias=False))
    ffn = next(m for m in mixture.modules if m.name == "layers.0.ffn")
    visits, router = 2 * (2 * (d + d_ff) + 2 * d_ff), 4
    assert ffn.traffic.bytes_per_token(t) == ELEMENT_BYTES * (visits + router + 4 * 2 * d * d_ff / t)


def test_modules_of_layers_that_differ() -> None:
    spec = Spec(n_layers=3, layer_rules=(layer_rule(stop=1, d_ff=24),))
    widths = [m.num_params for m in count(spec).modules if m.name.endswith("ffn.up")]
    assert widths == [49 * 24, 49 * 192, 49 * 192]


def test_json_keeps_its_keys_and_sums() -> None:
    document = json.loads(json.dumps(count(Spec()).to_json()))
    assert {
        "spec",
        "num_params",
        "training_flops_per_token",
        "forward_flops_per_token",
        "modules",
        "kv_cache_bytes_per_token",
        "decode_flops_per_token",
        "hardware_flops_per_token",
    } <= set(document)
    assert sum(m["num_params"] for m in document["modules"]) == document["num_params"]["total"]
    assert 3 * sum(m["flops"] for m in document["modules"]) == document["training_flops_per_token"]
