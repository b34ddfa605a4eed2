"""Pre-LayerNorm, Pre-RMSNorm and Pre-CRMSNorm are one function, and train alike (definitions.md, claim C4)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.model.convert_norms import to_crms, to_rms, to_trainable_rms
from harness.model.transformer import Transformer
from harness.plan.ledger import count
from harness.spec.spec import Choice, Spec
from variants.errors import UserError

SMALL = Spec(n_layers=2, d_model=12, n_heads=2, d_ff=20, seq_len=10, vocab_size=17)
GATED = SMALL.replace(activation=Choice("swiglu"), position=Choice("rope"), bias=False)
WITHOUT_SHIFT = Choice("layer", (("bias", False),))
MOE = SMALL.replace(ffn=Choice("moe", (("num_experts", 4),)), norm=WITHOUT_SHIFT)
SHARED = Choice("deepseek", (("n_shared", 1), ("num_experts", 4), ("top_k", 2)))


def trained(spec: Spec, dtype: torch.dtype = torch.float64) -> Transformer:
    """A model as training leaves it: every gain, shift and bias away from its start, and nothing centred."""
    model = Transformer(spec, seed=0).to(dtype)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=dtype) + 0.1
    return model.eval()


def tokens(seed: int = 2) -> Tensor:
    return torch.randint(17, (3, 10), generator=torch.Generator().manual_seed(seed))


def gap(first: nn.Module, second: nn.Module) -> float:
    with torch.no_grad():
        return (first(tokens()) - second(tokens())).abs().max().item()


SPECS = {
    "gpt2, tied": SMALL,
    "untied, large eps": SMALL.replace(tied_head=False, norm=Choice("layer", (("eps", 0.1),))),
    "gated, rope, no biases": GATED,
    "no positions, no shift": SMALL.replace(position=Choice("none"), norm=WITHOUT_SHIFT),
    "no gain": SMALL.replace(norm=Choice("layer", (("weight", False),))),
    "causal convolution": SMALL.replace(ffn=Choice("mixffn")),
    "experts with biases": MOE,
    "experts, one shared": MOE.replace(ffn=SHARED, activation=Choice("swiglu"), bias=False),
    "scaled embedding, soft cap": SMALL.replace(embedding_scale=3.0, logit_softcap=5.0),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_logits_agree_in_fp64(spec: Spec) -> None:
    model = trained(spec)
    rms = to_rms(model)
    crms = to_crms(rms)
    assert model(tokens()).std() > 0.1
    assert gap(model, rms) < 1e-10
    assert gap(model, crms) < 1e-10
    assert gap(crms, to_crms(model)) < 1e-10, "from layer at once, or by way of rms"


@pytest.mark.parametrize("spec", [SMALL, GATED], ids=["gpt2", "gated"])
def test_logits_agree_in_fp32(spec: Spec) -> None:
    model = trained(spec, torch.float32)
    scale = model(tokens()).abs().max().item()
    assert gap(model, to_rms(model)) / scale < 1e-4
    assert gap(model, to_crms(model)) / scale < 1e-4


def test_the_result_is_a_transformer_of_its_spec() -> None:
    crms = to_crms(trained(GATED.replace(norm=WITHOUT_SHIFT)))
    assert crms.spec == GATED.replace(norm=Choice("crms"), tied_head=False, d_model=11, d_head=6)
    assert sum(p.numel() for p in crms.parameters()) == count(crms.spec).total_params
    again = Transformer(crms.spec, seed=None).double().eval()
    again.load_state_dict(crms.state_dict())
    assert gap(crms, again) == 0
    loss = crms.loss(tokens(), tokens().roll(-1, 1))
    loss.backward()
    assert all(p.grad is not None for p in crms.parameters())


def test_the_residual_stream_has_zero_mean_and_one_dimension_fewer() -> None:
    model = trained(SMALL)
    rms, crms = to_rms(model), to_crms(model)
    streams: dict[str, Tensor] = {}
    for name, converted in {"rms": rms, "crms": crms}.items():
        converted.layers[1].register_forward_hook(lambda _m, _i, out, name=name: streams.update({name: out}))
        converted(tokens())
    assert streams["rms"].mean(-1).abs().max() < 1e-12
    torch.testing.assert_close(streams["crms"], streams["rms"][..., :-1], rtol=0, atol=1e-12)


def test_crms_decodes_token_by_token() -> None:
    crms = to_crms(trained(SMALL))
    state = crms.new_state(3, 10)
    with torch.no_grad():
        steps = torch.cat([crms(tokens()[:, i : i + 1], state) for i in range(10)], dim=1)
        torch.testing.assert_close(steps, crms(tokens()), rtol=0, atol=1e-12)


def test_the_model_converted_is_left_as_it_was() -> None:
    model = trained(SMALL)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    to_crms(model)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert model.head.weight is model.embedding.weight
    assert torch.equal(state, torch.get_rng_state())


def test_swapping_the_class_alone_is_another_model() -> None:
    """Definitions 0.7: the equivalence is in the matrices, not in the name of the norm."""
    model = trained(SMALL.replace(norm=WITHOUT_SHIFT))
    swapped = Transformer(model.spec.replace(norm=Choice("rms", (("eps", 1e-5),))), seed=None).double()
    swapped.load_state_dict(model.state_dict())
    assert gap(model, swapped) > 0.01


def losses(model: Transformer, optimizer: torch.optim.Optimizer, steps: int = 20) -> list[float]:
    model.train()
    history = []
    for step in range(steps):
        batch = tokens(100 + step)
        loss = model.loss(batch, batch.roll(-1, 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    return history


OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.1),
}


@pytest.mark.parametrize("spec", [SMALL, SMALL.replace(tied_head=False), MOE], ids=["tied", "untied", "experts"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_layer_and_projected_rms_train_alike(optimizer: Any, spec: Spec) -> None:
    """Jiang et al. 2023, section 3.3: 20 steps of the same data give the same losses."""
    model = trained(spec.replace(norm=WITHOUT_SHIFT))
    projected = to_trainable_rms(model)
    assert sum(p.numel() for p in projected.parameters()) == sum(p.numel() for p in model.parameters())
    expected = losses(model, optimizer(model.parameters()))
    found = losses(projected, optimizer(projected.parameters()))
    assert expected[0] - expected[-1] > 0.1, "the models must have moved"
    assert max(abs(a - b) for a, b in zip(expected, found, strict=True)) < 1e-8


def test_centred_matrices_as_parameters_would_not_train_alike() -> None:
    """Definitions 2.1, step 4: AdamW on the folded and centred matrices is another training."""
    model = trained(SMALL.replace(norm=WITHOUT_SHIFT))
    converted = to_rms(model)
    adamw = OPTIMIZERS["adamw"]
    expected, found = losses(model, adamw(model.parameters())), losses(converted, adamw(converted.parameters()))
    assert abs(expected[0] - found[0]) < 1e-10
    assert abs(expected[-1] - found[-1]) > 1e-4


REFUSED = {
    "needs norm=layer": SMALL.replace(norm=Choice("rms")),
    "residual=post": SMALL.replace(residual=Choice("post")),
    "norm inside a sub-layer": SMALL.replace(attention=Choice("mha", (("qk_norm", "head"),))),
    "which the variant does not have": MOE.replace(norm=Choice("layer")),
}


@pytest.mark.parametrize(("reason", "spec"), REFUSED.items(), ids=REFUSED.keys())
def test_what_is_not_covered_is_refused_by_name(reason: str, spec: Spec) -> None:
    with pytest.raises(UserError, match=reason):
        to_rms(trained(spec))


def test_a_stream_that_is_not_centred_is_not_compressed() -> None:
    with pytest.raises(UserError, match="not centred"):
        to_crms(trained(SMALL.replace(norm=Choice("rms"))))


def test_a_shift_cannot_train_in_rms() -> None:
    with pytest.raises(UserError, match=r"norm\.bias=false"):
        to_trainable_rms(trained(SMALL))
