"""Balance of the experts: the losses against transformers' functions, the statistics and DeepSeek-V3's bias by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from variants import registry
from variants.ffn._balance import load_balance_loss, load_statistics, router_z_loss
from variants.slots import Shape

SHAPE = Shape(d_model=12, n_layers=2, n_heads=2, d_head=6, d_ff=10, seq_len=8, vocab_size=9, bias=False)
STYLES = ["moe", "mixtral", "olmoe", "deepseek", "deepseek_v3", "switch"]


def make(name: str, **options: Any) -> Any:
    """A module of fp64 with random matrices."""
    module = registry.get("ffn", name)(SHAPE, registry.get("activation", "swiglu"), **options).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) / 2)
    return module


def inputs(batch: int = 2) -> Tensor:
    return torch.randn(batch, 8, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def send_all_to(module: Any, expert: int) -> None:
    """Make every token with a positive first entry choose one expert."""
    with torch.no_grad():
        module.router.weight.zero_()
        module.router.weight[:, 0] = -100.0
        module.router.weight[expert, 0] = 100.0


def positive(x: Tensor) -> Tensor:
    return torch.cat((torch.ones_like(x[..., :1]), x[..., 1:]), dim=-1)


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_balance_loss_is_transformers_for_one_layer_over_k(top_k: int) -> None:
    mixtral = pytest.importorskip("transformers.models.mixtral.modeling_mixtral", reason="needs transformers")
    mine, theirs = (torch.randn(20, 6, generator=torch.Generator().manual_seed(0)).requires_grad_() for _ in range(2))
    p = mine.softmax(dim=-1)
    loss = load_balance_loss(p[None], p.topk(top_k).indices[None])
    expected = mixtral.load_balancing_loss_func((theirs,), 6, top_k) / top_k
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, mine), torch.autograd.grad(expected, theirs))


def test_balance_loss_of_groups_is_switchs() -> None:
    switch = pytest.importorskip(
        "transformers.models.switch_transformers.modeling_switch_transformers", reason="needs transformers"
    )
    logits = 2 * torch.randn(4, 9, 5, generator=torch.Generator().manual_seed(0))
    p = logits.softmax(dim=-1)
    expected = switch.load_balancing_loss_func(p, p.argmax(dim=-1))
    torch.testing.assert_close(load_balance_loss(p, p.topk(1).indices), expected)
    torch.testing.assert_close(router_z_loss(logits), switch.router_z_loss_func(logits))


@pytest.mark.parametrize("name", STYLES)
def test_balance_loss_is_its_weight_when_uniform(name: str) -> None:
    module = make(name, balance=0.25).train()
    nn.init.zeros_(module.router.weight)
    module(inputs())
    assert module.auxiliary_loss.item() * SHAPE.n_layers == pytest.approx(0.25)


def test_two_layers_collapsed_on_different_experts_are_not_balanced() -> None:
    """The trap of definitions 2.5: pooled over layers they would look uniform, 1.0; the mean of layers is 2.0."""
    layers = [make("moe", num_experts=2, top_k=1, balance=1.0).train() for _ in range(2)]
    for i, layer in enumerate(layers):
        send_all_to(layer, i)
        layer(positive(inputs()))
    assert sum(layer.auxiliary_loss.item() for layer in layers) == pytest.approx(2.0)
    pooled = torch.cat([layer.logits(positive(inputs())).flatten(0, 1) for layer in layers]).softmax(dim=-1)
    assert load_balance_loss(pooled[None], pooled.topk(1).indices[None]).item() == pytest.approx(1.0)


def test_losses_are_weighted_and_divided_by_layers() -> None:
    module, x = make("moe", balance=0.5, z_loss=0.25).train(), inputs()
    module(x)
    logits = module.logits(x).flatten(0, 1)
    p = logits.softmax(dim=-1)
    expected = (0.5 * load_balance_loss(p[None], p.topk(2).indices[None]) + 0.25 * router_z_loss(logits)) / 2
    torch.testing.assert_close(module.auxiliary_loss, expected)
    module.eval()(x)
    assert module.auxiliary_loss is None


def test_sequence_wise_loss_sees_what_the_batch_hides() -> None:
    """One sequence on expert 0, the other on expert 1: even over the batch, collapsed in each sequence."""
    x = positive(inputs())
    x[1, :, 0] = -1.0
    for name, expected in (("moe", 1.0), ("deepseek", 2.0), ("deepseek_v3", 2.0)):
        module = make(name, num_experts=2, top_k=1, balance=1.0).train()
        send_all_to(module, 0)
        module(x)
        assert module.auxiliary_loss.item() * SHAPE.n_layers == pytest.approx(expected), name


def test_statistics_by_hand() -> None:
    assert load_statistics(torch.tensor([3, 3, 3, 3]), 0.0) == pytest.approx(
        {"max_violation": 0.0, "load_entropy": 1.0, "dead_experts": 0.0, "drop_rate": 0.0}
    )
    assert load_statistics(torch.tensor([6, 6, 0, 0]), 0.125) == pytest.approx(
        {"max_violation": 1.0, "load_entropy": 0.5, "dead_experts": 0.5, "drop_rate": 0.125}
    )
    module = make("moe", num_experts=4)
    send_all_to(module, 2)
    module(positive(inputs()))
    assert module.load[2] == 16
    assert module.load.sum() == 32
    assert not module.load.requires_grad


def test_bias_moves_against_the_load() -> None:
    module = make("deepseek_v3", num_experts=4, top_k=1, bias_rate=0.5).train()
    send_all_to(module, 2)
    module.eval()(positive(inputs()))
    module.after_step()
    assert module.selection_bias.tolist() == [0, 0, 0, 0], "a forward in eval mode does not count"
    module.train()(positive(inputs()))  # load 0, 0, 16, 0
    send_all_to(module, 1)
    module(positive(inputs(1)))  # with the second micro-batch 0, 8, 16, 0; mean 6
    module.after_step()
    assert module.selection_bias.tolist() == [0.5, -0.5, -0.5, 0.5]
    module.after_step()
    assert module.selection_bias.tolist() == [0.5, -0.5, -0.5, 0.5], "nothing was read since the last step"
    assert "selection_bias" in module.state_dict()
    assert "selection_bias" not in dict(module.named_parameters())


def test_bias_chooses_and_does_not_weigh() -> None:
    module, x = make("deepseek_v3", num_experts=4, top_k=2, n_shared=0), inputs()
    module.selection_bias += torch.tensor([0.0, 9.0, 0.0, 9.0])
    routing = module.route(module.logits(x))
    s = module.logits(x).sigmoid()[..., [1, 3]]
    assert set(routing.chosen.flatten().tolist()) == {1, 3}
    torch.testing.assert_close(routing.weights.sort().values, (s / s.sum(dim=-1, keepdim=True)).sort().values)
