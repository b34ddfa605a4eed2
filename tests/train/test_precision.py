"""bf16: the products in bf16, everything that is kept in fp32."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.model.transformer import Transformer
from harness.spec.recipe import Recipe
from harness.spec.spec import Choice, Spec
from harness.train import precision
from harness.train.checkpoint import weights_of
from harness.train.optimizer import make_optimizer
from harness.train.precision import check_precision, make_model
from harness.train.trainer import Training, train, train_step
from variants.errors import UserError

SPEC = Spec(n_layers=1, d_model=16, n_heads=2, d_ff=32, seq_len=8, vocab_size=32)
MODERN = SPEC.replace(norm=Choice("rms"), position=Choice("rope"), activation=Choice("swiglu"))
RECIPE = Recipe(tokens_per_step=32)
STEPS = 60


class Batches:
    """Repeating text, so that there is something to learn, from a place that depends on the step."""

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        text = (torch.arange(9) * 5 + torch.arange(step, step + 4)[:, None]) % 32
        return text[:, :-1], text[:, 1:]


def run(
    folder: Path, kind: precision.Precision, spec: Spec = SPEC, **how: object
) -> tuple[Training, dict[str, Tensor]]:
    model = make_model(spec, 0, kind)
    return train(model, Batches(), RECIPE, STEPS, folder=folder, **how), weights_of(model)  # pyright: ignore


@pytest.mark.parametrize("spec", [SPEC, MODERN])
def test_the_loss_is_near_that_of_fp32(tmp_path: Path, spec: Spec) -> None:
    single, _ = run(tmp_path / "fp32", "fp32", spec)
    half, _ = run(tmp_path / "bf16", "bf16", spec)
    assert half.losses.dtype == torch.float32
    assert not torch.equal(half.losses, single.losses)
    assert single.losses[-1] < single.losses[0] - 1
    torch.testing.assert_close(half.losses, single.losses, rtol=0.03, atol=0.03)


def test_what_is_kept_is_fp32() -> None:
    model = make_model(SPEC, 0, "bf16")
    seen: list[torch.dtype] = []
    model.head.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    optimizer = make_optimizer(model, RECIPE)
    loss = train_step(model, optimizer, Batches().batch(0), RECIPE, 0, STEPS)
    assert seen == [torch.bfloat16]
    assert loss.dtype == torch.float32
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert {s["exp_avg"].dtype for s in optimizer.state.values()} == {torch.float32}
    tokens = Batches().batch(0)[0]
    assert torch.equal(model.eval()(tokens), _fp32_twin(model)(tokens))  # scores are of fp32


def _fp32_twin(model: Transformer) -> Transformer:
    twin = make_model(SPEC, 1, "fp32").eval()
    twin.load_state_dict(model.state_dict())
    return twin


def test_a_stopped_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole, expected = run(tmp_path / "whole", "bf16")
    again, _ = run(tmp_path / "again", "bf16")
    stopped, _ = run(tmp_path / "cut", "bf16", should_stop=lambda: True)
    last, weights = run(tmp_path / "cut", "bf16")
    assert stopped.status == "stopped"
    assert torch.equal(whole.losses, again.losses)
    assert torch.equal(whole.losses, last.losses)
    assert all(torch.equal(expected[name], weights[name]) for name in expected)


def test_slices_of_the_logits_give_the_loss_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for whole in (precision.WHOLE_LOGITS, 5 * SPEC.vocab_size):
        monkeypatch.setattr(precision, "WHOLE_LOGITS", whole)
        model = make_model(SPEC.replace(logit_softcap=5.0), 0, "bf16")
        loss = model.loss(*Batches().batch(0))
        loss.backward()
        found.append((loss.detach(), [p.grad for p in model.parameters()]))
    (loss, grads), (sliced, sliced_grads) = found
    torch.testing.assert_close(sliced, loss, rtol=1e-4, atol=0)  # the cap is in bf16 where the logits are whole
    for one, other in zip(grads, sliced_grads, strict=True):
        torch.testing.assert_close(other, one, rtol=0.02, atol=1e-3)


def test_where_it_is_slow_or_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bf16", lambda device: False)
    assert check_precision("fp32", torch.device("cpu")) == ""
    assert "slower" in check_precision("bf16", torch.device("cpu"))
    with pytest.raises(UserError, match="--precision bf16 needs --device cpu or cuda, got mps"):
        check_precision("bf16", torch.device("mps"))
