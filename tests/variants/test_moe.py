"""What every mixture of experts must do beside its formula: dispatch, independence, gradients, counts.

The styles' formulas are in test_moe_styles.py, the losses in test_moe_balance.py, the drops in test_moe_switch.py.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from harness.model.transformer import Transformer
from harness.plan.ledger import count
from harness.spec.spec import Choice, Spec
from variants import registry
from variants.errors import UserError
from variants.ffn._experts import Experts, counted, sorted_by_torch
from variants.slots import Shape

SHAPE = Shape(d_model=12, n_layers=2, n_heads=2, d_head=6, d_ff=10, seq_len=8, vocab_size=9, bias=True)
STYLES = ["moe", "mixtral", "olmoe", "deepseek", "deepseek_v3", "switch"]


def make(name: str, *, activation: str = "swiglu", shape: Shape = SHAPE, **options: Any) -> Any:
    """A module of fp64 with random matrices and biases."""
    module = registry.get("ffn", name)(shape, registry.get("activation", activation), **options).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) / 2)
    return module


def inputs(batch: int = 2, time: int = 8, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, time, 12, generator=generator, dtype=torch.float64)


def send_all_to(module: Any, expert: int) -> None:
    """Make every token with a positive first entry choose one expert."""
    with torch.no_grad():
        module.router.weight.zero_()
        module.router.weight[:, 0] = -100.0
        module.router.weight[expert, 0] = 100.0


def positive(x: Tensor) -> Tensor:
    return torch.cat((torch.ones_like(x[..., :1]), x[..., 1:]), dim=-1)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.booleans(), st.integers(0, 99))
def test_dispatch_is_the_sum_over_visits(n: int, num_experts: int, top_k: int, gated: bool, seed: int) -> None:
    """Any choice, repeated, empty or refused (num_experts), equals a loop; so do its gradients."""
    generator = torch.Generator().manual_seed(seed)
    experts = Experts(SHAPE, registry.get("activation", "swiglu" if gated else "gelu"), num_experts).double()
    with torch.no_grad():
        for p in experts.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64))
    tokens = torch.randn(n, 12, generator=generator, dtype=torch.float64).requires_grad_()
    weights = torch.rand(n, top_k, generator=generator, dtype=torch.float64).requires_grad_()
    chosen = torch.randint(num_experts + 1, (n, top_k), generator=generator)
    y, load = experts.mix(tokens, weights, chosen)
    rows = [
        sum((weights[i, j] * _one(experts, e, tokens[i]) for j, e in enumerate(choice) if e < num_experts), 0 * token)
        for i, (choice, token) in enumerate(zip(chosen.tolist(), tokens, strict=True))
    ]
    expected = torch.stack(rows)
    torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-10)
    assert load.tolist() == [int((chosen == i).sum()) for i in range(num_experts + 1)]
    if (chosen < num_experts).any():
        over = [tokens, weights, *experts.parameters()]
        probe = torch.randn(n, 12, generator=generator, dtype=torch.float64)
        mine, theirs = (torch.autograd.grad((o * probe).sum(), over, materialize_grads=True) for o in (y, expected))
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_counted_visits_are_sorted_visits(visits: list[int]) -> None:
    """The way of a GPU gives the order of the way of a CPU, empty experts and all."""
    for one, other in zip(counted(torch.tensor(visits), 6), sorted_by_torch(torch.tensor(visits), 6), strict=True):
        assert torch.equal(one, other)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 4), st.booleans(), st.integers(0, 99))
def test_grouped_products_are_the_experts_one_by_one(
    n: int, num_experts: int, top_k: int, gated: bool, seed: int
) -> None:
    """What bf16 on a GPU does, here in fp32 on torch's CPU kernel: outputs, loads and gradients, refused visits too."""
    generator = torch.Generator().manual_seed(seed)
    shape = dataclasses.replace(SHAPE, d_model=16, d_ff=24)
    experts = Experts(shape, registry.get("activation", "swiglu" if gated else "gelu"), num_experts)
    with torch.no_grad():
        for p in experts.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) / 4)
    tokens = torch.randn(n, 16, generator=generator).requires_grad_()
    weights = torch.rand(n, top_k, generator=generator).requires_grad_()
    chosen = torch.randint(num_experts + 1, (n, top_k), generator=generator)
    probe, over = torch.randn(n, 16, generator=generator), [tokens, weights, *experts.parameters()]
    found = []
    for grouped in (False, True):
        experts.can_group = lambda tokens, grouped=grouped: grouped
        y, load = experts.mix(tokens, weights, chosen)
        gradients = torch.autograd.grad((y * probe).sum(), over, materialize_grads=True) if y.requires_grad else ()
        found.append((y, load, gradients))
    assert torch.equal(found[0][1], found[1][1])
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-4, atol=1e-5)
    if (chosen < num_experts).any():
        torch.testing.assert_close(found[0][2], found[1][2], rtol=1e-3, atol=1e-5)


def _one(experts: Experts, i: int, x: Tensor) -> Tensor:
    into = [m for m in (experts.gate, experts.up) if m is not None]
    hidden = experts.activation(*(nn.functional.linear(x, *m.each()[i]) for m in into))
    return nn.functional.linear(hidden, *experts.down.each()[i])


@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
@pytest.mark.parametrize("name", ["moe", "mixtral", "olmoe", "switch"])
def test_one_expert_is_the_dense_ffn(name: str, activation: str) -> None:
    """Biases included; only with one expert is a probability that is not renormalised 1."""
    options: dict[str, Any] = {"num_experts": 1} if name == "switch" else {"num_experts": 1, "top_k": 1}
    moe, dense = make(name, activation=activation, **options), make("dense", activation=activation)
    own = {n: p.detach() for n, p in moe.named_parameters() if n != "router.weight"}
    dense.load_state_dict({n: own[n].view(p.shape) for n, p in dense.named_parameters()})
    x, same = inputs().requires_grad_(), inputs().requires_grad_()
    torch.testing.assert_close(moe.eval()(x), dense(same), rtol=1e-10, atol=1e-10)
    moe(x).square().sum().backward()
    dense(same).square().sum().backward()
    torch.testing.assert_close(x.grad, same.grad, rtol=1e-9, atol=1e-9)
    for name, p in dense.named_parameters():
        torch.testing.assert_close(moe.get_parameter(name).grad.view(p.shape), p.grad, rtol=1e-9, atol=1e-9)


def test_fused_shared_experts_are_separate_ones_added() -> None:
    two = make("deepseek", n_shared=2, shape=dataclasses.replace(SHAPE, bias=False))
    x, routed = inputs(), make("deepseek", n_shared=0, shape=dataclasses.replace(SHAPE, bias=False))
    routed.load_state_dict({n: p for n, p in two.state_dict().items() if not n.startswith("shared")})
    shared, parts = two.shared, []
    for half in (slice(0, 10), slice(10, 20)):
        hidden = nn.functional.silu(x @ shared.gate.weight[half].T) * (x @ shared.up.weight[half].T)
        parts.append(hidden @ shared.down.weight[:, half].T)
    torch.testing.assert_close(two(x), routed(x) + sum(parts), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", STYLES)
def test_the_future_and_the_batch_do_not_matter(name: str) -> None:
    module, x = make(name).eval(), inputs(3)
    other = x.clone()
    other[:, 5:] = inputs(3, 3, seed=2)
    torch.testing.assert_close(module(other)[:, :5], module(x)[:, :5], rtol=0, atol=1e-14)
    torch.testing.assert_close(module(x[1:2]), module(x)[1:2], rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", STYLES)
def test_unvisited_experts_have_zero_gradients(name: str) -> None:
    module = make(name, num_experts=6).train()
    send_all_to(module, 4)
    x = positive(inputs())
    y = module(x)
    (y.square().sum() + module.auxiliary_loss).backward()
    grads = {n: p.grad for n, p in module.named_parameters()}
    assert y.isfinite().all()
    assert all(g is not None and g.isfinite().all() for g in grads.values())
    idle = (module.load == 0).nonzero().flatten()
    assert len(idle) >= 6 - module.top_k
    assert grads["up.weight"][idle].abs().max() == 0
    assert grads["up.weight"][4].abs().max() > 0


@pytest.mark.parametrize("name", STYLES)
def test_the_task_teaches_the_router(name: str) -> None:
    module = make(name, balance=0.0).train()
    module(inputs()).square().sum().backward()
    assert module.auxiliary_loss is None, "both weights are 0"
    assert module.router.weight.grad.abs().max() > 1e-3


def test_router_logits_are_fp32_under_autocast() -> None:
    module, x = make("moe").float(), inputs().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = module.logits(x)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, x @ module.router.weight.T)


@pytest.mark.parametrize(("name", "active", "n_shared"), [("moe", 2, 0), ("switch", 1, 0), ("deepseek", 3, 2)])
def test_parameters_and_flops_by_closed_form(name: str, active: int, n_shared: int) -> None:
    options = {"num_experts": 5} | ({"n_shared": n_shared} if n_shared else {})
    shared = Spec(n_layers=2, d_model=24, n_heads=2, d_ff=32, bias=False, activation=Choice("swiglu"))
    moe, dense = count(shared.replace(ffn=Choice(name, tuple(sorted(options.items()))))), count(shared)
    one = 3 * 24 * 32
    assert moe.total_params - dense.total_params == 2 * ((5 + n_shared - 1) * one + 24 * 5)
    assert moe.active_params - dense.active_params == 2 * ((active + n_shared - 1) * one + 24 * 5)
    assert moe.flops.matmul - dense.flops.matmul == 2 * (active + n_shared - 1) * 2 * one
    assert moe.flops.router == 2 * 2 * 24 * 5


@pytest.mark.parametrize("options", [{"top_k": 9}, {"top_k": 0}, {"num_experts": 0}, {"n_shared": -1}, {"n_group": 2},
                                     {"num_experts": 4, "n_group": 4, "topk_group": 2}, {"bias_rate": -1.0},
                                     {"num_experts": 4, "n_group": 2, "topk_group": 3}])  # fmt: skip
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    name = "moe" if options == {"top_k": 9} else "deepseek_v3"
    with pytest.raises(UserError, match="ffn\\."):
        make(name, **options)


def test_expert_choice_is_refused_unless_asked_for() -> None:
    with pytest.raises(UserError, match="perplexity is not valid"):
        make("expert_choice")
    module, x = make("expert_choice", leaks=True, num_experts=4), inputs()
    other = x.clone()
    other[:, 7:] *= 5
    assert not torch.allclose(module(other)[:, :7], module(x)[:, :7]), "it does look ahead"
    asked = Choice("expert_choice", (("leaks", True),))
    model = Transformer(Spec(n_layers=1, d_model=12, n_heads=2, vocab_size=9, ffn=asked), seed=0)
    with pytest.raises(UserError, match="cannot decode"):
        model.new_state(1, 8)
