"""Each style of mixture, forward and gradients, against transformers' block with the same weights.

fp32 to 1e-5 and 1e-4. transformers' softmax routers compute in fp32 always, so in fp64 their routers are replaced by
`Plain`, the published formula token by token, and the experts are compared to 1e-10; Switch's router takes fp64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from variants import registry
from variants.slots import Shape

transformers = pytest.importorskip("transformers", reason="the oracle is transformers; install the test extra")

D, D_E, E, K, B, T = 24, 20, 8, 3, 2, 16
F32, F64 = torch.float32, torch.float64
SHAPE = Shape(d_model=D, n_layers=1, n_heads=2, d_head=12, d_ff=D_E, seq_len=T, vocab_size=9, bias=False)

Rule = Callable[[dict[str, Tensor]], Tensor]
Choose = Callable[[Tensor], tuple[Tensor, Tensor]]


def fused(part: str) -> dict[str, Rule]:
    """Our stacked matrices from transformers' fused ones, gate before up."""
    return {
        "gate.weight": lambda source: source[f"{part}.gate_up_proj"][:, :D_E],
        "up.weight": lambda source: source[f"{part}.gate_up_proj"][:, D_E:],
        "down.weight": lambda source: source[f"{part}.down_proj"],
    }


ROUTED: dict[str, Rule] = {**fused("experts"), "router.weight": lambda source: source["gate.weight"]}
SHARED: dict[str, Rule] = {
    f"shared.{name}.weight": lambda source, name=name: source[f"shared_experts.{name}_proj.weight"]
    for name in ("gate", "up", "down")
}
SWITCH: dict[str, Rule] = {
    "router.weight": lambda source: source["router.classifier.weight"],
    "up.weight": lambda source: torch.stack([source[f"experts.expert_{i}.wi.weight"] for i in range(E)]),
    "down.weight": lambda source: torch.stack([source[f"experts.expert_{i}.wo.weight"] for i in range(E)]),
}


class Plain(nn.Module):
    """A router as its paper writes it, one token at a time; `choose` maps (E,) logits to weights and experts."""

    def __init__(self, choose: Choose) -> None:
        super().__init__()
        self.weight, self.choose = nn.Parameter(torch.zeros(E, D)), choose

    def forward(self, x: Tensor) -> tuple[None, Tensor, Tensor]:
        pairs = [self.choose(self.weight @ token) for token in x.reshape(-1, D)]
        return None, torch.stack([w for w, _ in pairs]), torch.stack([i for _, i in pairs])


class Nothing(nn.Module):
    """In the place of a shared expert that is not compared."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def largest(values: Tensor, k: int) -> Tensor:
    return torch.tensor(sorted(range(len(values)), key=lambda i: -values[i].item())[:k])


def softmax_top(k: int, *, renormalise: bool = False, scaling: float = 1.0) -> Choose:
    def choose(z: Tensor) -> tuple[Tensor, Tensor]:
        p = z.exp() / z.exp().sum()
        i = largest(p, k)
        return scaling * p[i] / (p[i].sum() if renormalise else 1.0), i

    return choose


def sigmoid_top(bias: Tensor, *, scaling: float, groups: int = 1, kept: int = 1) -> Choose:
    def choose(z: Tensor) -> tuple[Tensor, Tensor]:
        s = 1 / (1 + (-z).exp())
        preference = (s + bias).detach().view(groups, -1)
        best = largest(preference.sort(dim=1).values[:, -2:].sum(dim=1), kept)
        allowed = torch.full_like(preference, -torch.inf)
        allowed[best] = preference[best]
        i = largest(allowed.flatten(), K)
        return scaling * s[i] / s[i].sum(), i

    return choose


def agree(
    name: str, options: dict[str, Any], oracle: nn.Module, rules: dict[str, Rule], dtype: torch.dtype,
    activation: str = "swiglu", buffers: dict[str, Tensor] | None = None,
) -> Any:  # fmt: skip
    """Outputs, the gradient of the input and that of every weight equal the oracle's; returns our module."""
    generator = torch.Generator().manual_seed(0)
    oracle = oracle.to(dtype)
    with torch.no_grad():
        for p in oracle.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=F64) / p.shape[-1] ** 0.5)
    ours = registry.get("ffn", name)(SHAPE, registry.get("activation", activation), **options).to(dtype).eval()
    weights = {mine: rule(dict(oracle.named_parameters())).detach() for mine, rule in rules.items()}
    ours.load_state_dict({**weights, **(buffers or {})})
    x, probe = (torch.randn(B, T, D, generator=generator, dtype=F64).to(dtype) for _ in range(2))
    mine, theirs = (2 * x).requires_grad_(), (2 * x).requires_grad_()
    y, expected = ours(mine), oracle(theirs)
    (y * probe).sum().backward()
    (expected * probe).sum().backward()
    forward, backward = (1e-5, 1e-4) if dtype == F32 else (1e-10, 1e-10)
    assert y.std() > 0.1, "too small for the tolerance to mean anything"
    torch.testing.assert_close(y, expected, rtol=forward, atol=forward)
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=backward, atol=backward)
    grads = {n: p.grad for n, p in oracle.named_parameters() if p.grad is not None}
    for path, p in ours.named_parameters():
        torch.testing.assert_close(
            p.grad, rules[path](grads), rtol=backward, atol=backward, msg=lambda m, n=path: n + m
        )
    return ours


def config_of(name: str, **sizes: Any) -> Any:
    config = getattr(transformers, name)(hidden_size=D, num_hidden_layers=1, num_attention_heads=2, **sizes)
    config._experts_implementation = "eager"
    return config


def in_precision(oracle: nn.Module, dtype: torch.dtype, choose: Choose) -> nn.Module:
    if dtype == F64:
        oracle.gate = Plain(choose)
    return oracle


both = pytest.mark.parametrize("dtype", [F32, F64], ids=["fp32", "fp64"])


@both
@pytest.mark.parametrize("name", ["moe", "mixtral"])
def test_mixtral(name: str, dtype: torch.dtype) -> None:
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

    config = config_of("MixtralConfig", intermediate_size=D_E, num_local_experts=E, num_experts_per_tok=K)
    oracle = in_precision(MixtralSparseMoeBlock(config), dtype, softmax_top(K, renormalise=True))
    agree(name, {"num_experts": E, "top_k": K}, oracle, ROUTED, dtype)


@both
def test_olmoe(dtype: torch.dtype) -> None:
    from transformers.models.olmoe.modeling_olmoe import OlmoeSparseMoeBlock

    config = config_of("OlmoeConfig", intermediate_size=D_E, num_experts=E, num_experts_per_tok=K, norm_topk_prob=False)
    oracle = in_precision(OlmoeSparseMoeBlock(config), dtype, softmax_top(K))
    agree("olmoe", {"num_experts": E, "top_k": K}, oracle, ROUTED, dtype)


def test_olmoe_is_qwen2_moe_without_its_shared_expert() -> None:
    from transformers.models.qwen2_moe.modeling_qwen2_moe import Qwen2MoeSparseMoeBlock

    config = config_of(
        "Qwen2MoeConfig",
        moe_intermediate_size=D_E,
        shared_expert_intermediate_size=D_E,
        num_experts=E,
        num_experts_per_tok=K,
        norm_topk_prob=False,
    )
    oracle = Qwen2MoeSparseMoeBlock(config)
    oracle.register_module("shared_expert", Nothing())
    agree("olmoe", {"num_experts": E, "top_k": K}, oracle, ROUTED, F32)


@both
@pytest.mark.parametrize("n_shared", [1, 2])
def test_deepseek_is_v2_greedy(n_shared: int, dtype: torch.dtype) -> None:
    options = {"num_experts": E, "top_k": K, "n_shared": n_shared, "routed_scaling": 1.5}
    oracle = in_precision(_deepseek_v2("greedy", n_shared), dtype, softmax_top(K, scaling=1.5))
    agree("deepseek", options, oracle, {**ROUTED, **SHARED}, dtype)


def test_deepseek_is_v2_limited_to_groups() -> None:
    options = {"num_experts": E, "top_k": K, "n_shared": 1, "routed_scaling": 1.5, "n_group": 4, "topk_group": 2}
    agree("deepseek", options, _deepseek_v2("group_limited_greedy", 1), {**ROUTED, **SHARED}, F32)


def _deepseek_v2(method: str, n_shared: int) -> nn.Module:
    from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2Moe

    config = config_of(
        "DeepseekV2Config",
        moe_intermediate_size=D_E,
        n_routed_experts=E,
        n_shared_experts=n_shared,
        num_experts_per_tok=K,
        routed_scaling_factor=1.5,
        topk_method=method,
        n_group=4,
        topk_group=2,
    )
    return DeepseekV2Moe(config)


@both
@pytest.mark.parametrize(("groups", "kept"), [(1, 1), (4, 2)])
def test_deepseek_v3(groups: int, kept: int, dtype: torch.dtype) -> None:
    """With a bias large enough to change the choice; it must not reach the weights."""
    from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3MoE

    config = config_of(
        "DeepseekV3Config",
        moe_intermediate_size=D_E,
        n_routed_experts=E,
        n_shared_experts=2,
        num_experts_per_tok=K,
        routed_scaling_factor=2.5,
        n_group=groups,
        topk_group=kept,
        norm_topk_prob=True,
    )
    bias = torch.linspace(-0.5, 0.5, E).roll(3)
    oracle = DeepseekV3MoE(config)
    oracle.gate.e_score_correction_bias.copy_(bias)
    oracle = in_precision(oracle, dtype, sigmoid_top(bias.double(), scaling=2.5, groups=groups, kept=kept))
    options = {"num_experts": E, "top_k": K, "n_shared": 2, "routed_scaling": 2.5}
    options |= {"n_group": groups, "topk_group": kept}
    agree("deepseek_v3", options, oracle, {**ROUTED, **SHARED}, dtype, buffers={"selection_bias": bias})


@both
@pytest.mark.parametrize("capacity", [None, 1.5, 0.5])
def test_switch(capacity: float | None, dtype: torch.dtype) -> None:
    """transformers counts the capacity in each sequence, first come, first served."""
    from transformers.models.switch_transformers.modeling_switch_transformers import SwitchTransformersSparseMLP

    limit = T if capacity is None else round(capacity * T / E)
    config = transformers.SwitchTransformersConfig(
        d_model=D, d_ff=D_E, num_experts=E, expert_capacity=limit, router_jitter_noise=0.0, dropout_rate=0.0
    )
    oracle = SwitchTransformersSparseMLP(config)
    oracle.router.dtype = dtype
    ours = agree("switch", {"num_experts": E, "capacity": capacity}, oracle, SWITCH, dtype, activation="relu")
    dropped = ours.balance_statistics()["drop_rate"]
    assert dropped == 0 if capacity is None else dropped > 0


def test_expert_choice_by_loops() -> None:
    """No oracle exists; Zhou et al. 2022, section 3.2, written out."""
    make = registry.get("ffn", "expert_choice")
    ours: Any = make(SHAPE, registry.get("activation", "swiglu"), num_experts=4, capacity=2.0, leaks=True).double()
    with torch.no_grad():
        for p in ours.parameters():
            p.normal_(std=0.3)
    x = torch.randn(B, T, D, dtype=F64)
    tokens = x.flatten(0, 1)
    p = (tokens @ ours.router.weight.T).exp()
    p = p / p.sum(dim=1, keepdim=True)
    expected = torch.zeros_like(tokens)
    for i in range(4):
        for n in largest(p[:, i], B * T * 2 // 4):
            hidden = nn.functional.silu(ours.gate.weight[i] @ tokens[n]) * (ours.up.weight[i] @ tokens[n])
            expected[n] += p[n, i] * (ours.down.weight[i] @ hidden)
    torch.testing.assert_close(ours(x).flatten(0, 1), expected, rtol=1e-10, atol=1e-10)
    assert ours.balance_statistics()["max_violation"] == pytest.approx(0)
