"""Expert load against routers whose choices are known, and drops against a count by hand."""

from __future__ import annotations

import json
import math
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from harness.model.transformer import Transformer
from harness.score.moe_health import mixtures_of, moe_health
from harness.spec.spec import Choice, Spec, choose, layer_rule

TEXT = np.random.default_rng(0).integers(0, 256, 100).astype(np.uint16)  # 99 targets: 12 windows of 8, and 3
SMALL = Spec(n_layers=2, d_model=16, n_heads=2, seq_len=8, d_ff=16)


def model_of(ffn: Choice, **changes: Any) -> Transformer:
    return Transformer(SMALL.replace(ffn=ffn, **changes), seed=0)


def collapse(model: Transformer, expert: int) -> None:
    """Every token asks for one expert: its logit is the sum of positives."""
    for module in mixtures_of(model).values():
        weight = cast("Any", module).router.weight
        with torch.no_grad():
            weight.zero_()
        module.register_forward_pre_hook(lambda m, x: (x[0].abs() + 1, *x[1:]))
        with torch.no_grad():
            weight[expert] = 1.0


def test_loads_sum_to_the_visits_and_say_what_they_are() -> None:
    health = moe_health(model_of(choose("moe", num_experts=4, top_k=2)), TEXT)
    assert health is not None
    assert [layer.name for layer in health.layers] == ["layers.0.ffn", "layers.1.ffn"]
    assert health.num_tokens == 99
    for layer in health.layers:
        assert sum(layer.load) == 2 * 99
        share = np.array(layer.load) / sum(layer.load)
        assert layer.max_violation == pytest.approx(share.max() * 4 - 1)
        assert layer.load_entropy == pytest.approx(-(share * np.log(share)).sum() / math.log(4))
        assert (layer.dead_experts, layer.drop_rate) == (0.0, 0.0)
    assert health.capacity == ()
    assert json.loads(json.dumps(health.to_json()))["layers"][1]["load"] == list(health.layers[1].load)


def test_a_collapsed_router_is_seen() -> None:
    model = model_of(choose("switch", num_experts=4))
    collapse(model, 2)
    health = moe_health(model, TEXT, capacities=(1.0, 4.0, None))
    assert health is not None
    for layer in health.layers:
        assert layer.load == (0, 0, 99, 0)
        assert (layer.max_violation, layer.dead_experts) == (3.0, 0.75)
        assert layer.load_entropy == pytest.approx(0.0)
        assert layer.drop_rate == 0.0, "the model's own capacity drops nothing"
    tight, wide, free = health.capacity
    # C = 1.0 * 8 / 4 = 2 tokens a window: of 12 windows of 8 six are refused, of the last 3 one
    assert tight.drop_rate == pytest.approx((12 * 6 + 1) / 99)
    assert tight.layer_drop_rates == pytest.approx((tight.drop_rate,) * 2)
    assert (wide.drop_rate, free.drop_rate) == (0.0, 0.0)
    assert wide.nats_per_token == free.nats_per_token != tight.nats_per_token


@torch.no_grad()
def test_the_loss_at_a_capacity_is_the_models() -> None:
    model = model_of(choose("switch", num_experts=4, capacity=0.5))
    health = moe_health(model, TEXT, capacities=(0.5, None), num_tokens=32)
    assert health is not None
    assert health.num_tokens == 32
    tokens = torch.from_numpy(TEXT[:33].astype(np.int64))
    expected = F.cross_entropy(model(tokens[:-1].view(4, 8)).flatten(0, 1), tokens[1:]).item()
    assert health.capacity[0].nats_per_token == pytest.approx(expected, rel=1e-6)
    assert health.capacity[0].drop_rate == pytest.approx(np.mean([layer.drop_rate for layer in health.layers]))
    assert health.capacity[0].drop_rate > health.capacity[1].drop_rate == 0.0
    assert {cast("Any", m).capacity for m in mixtures_of(model).values()} == {0.5}, "the model is left as it came"


def test_drops_fall_as_capacity_grows() -> None:
    health = moe_health(model_of(choose("switch", num_experts=4)), TEXT)
    assert health is not None
    drops = [point.drop_rate for point in health.capacity]
    assert drops == sorted(drops, reverse=True)
    assert drops[0] > drops[-1] == 0.0


def test_layers_that_route_are_found_and_a_dense_model_has_none() -> None:
    assert moe_health(model_of(Choice("dense")), TEXT) is None
    mixed = model_of(choose("deepseek", num_experts=4, top_k=2), layer_rules=(layer_rule(stop=1, ffn=Choice("dense")),))
    health = moe_health(mixed, TEXT)
    assert health is not None
    assert [layer.name for layer in health.layers] == ["layers.1.ffn"]
