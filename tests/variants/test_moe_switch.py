"""Switch's capacity: who is dropped, counted by hand; that no later token and no other text decides it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from variants import registry
from variants.errors import UserError
from variants.slots import Shape

S, E = 8, 4  # a group is 8 tokens; 4 experts


def make(capacity: float | None) -> Any:
    """fp64; the router reads the first E entries of a token, so `asking` decides which expert a token wants."""
    shape = Shape(d_model=12, n_layers=1, n_heads=2, d_head=6, d_ff=10, seq_len=S, vocab_size=9, bias=False)
    gelu = registry.get("activation", "gelu")
    module = registry.get("ffn", "switch")(shape, gelu, num_experts=E, capacity=capacity).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) / 2)
        module.router.weight.copy_(torch.eye(E, 12))
    return module


def asking(*texts: list[int]) -> Tensor:
    """(texts, tokens, 12): tokens that want the experts named."""
    wanted = torch.tensor(texts)
    rest = torch.randn(*wanted.shape, 12 - E, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.cat((2 * nn.functional.one_hot(wanted, E).double(), rest), dim=-1)


def served(module: Any, x: Tensor) -> list[list[bool]]:
    return (module(x) != 0).any(dim=-1).tolist()


def words(text: str) -> list[bool]:
    """'yyn' -> [True, True, False]."""
    return [letter == "y" for letter in text]


def test_drops_by_hand() -> None:
    """capacity 1.0: ceil(8 / 4) = 2 places an expert in each sequence, first come, first served."""
    module = make(1.0)
    assert module.limit == 2
    x = asking([0, 0, 0, 1, 0, 2, 1, 1], [3, 3, 2, 2, 1, 1, 0, 0])
    assert served(module, x) == [words("yynynyyn"), words("yyyyyyyy")]
    statistics = module.balance_statistics()
    assert statistics["drop_rate"] == pytest.approx(3 / 16)
    assert module.load.tolist() == [6, 5, 3, 2], "the load is what was asked for"
    assert statistics["max_violation"] == pytest.approx(6 / 4 - 1)


def test_the_served_get_the_unlimited_answer() -> None:
    x = asking([0, 0, 0, 1, 0, 2, 1, 1])
    limited, unlimited = make(1.0)(x)[0], make(None)(x)[0]
    kept = torch.tensor(words("yynynyyn"))
    torch.testing.assert_close(limited[kept], unlimited[kept], rtol=0, atol=1e-14)
    assert limited[~kept].abs().max() == 0, "the residual passes"


@pytest.mark.parametrize("capacity", [None, float("inf"), 4.0])
def test_enough_places_drop_nothing(capacity: float | None) -> None:
    """A factor of num_experts is a place for every token."""
    x = asking([1] * 8, [2] * 8)
    module = make(capacity)
    assert served(module, x) == [[True] * 8] * 2
    assert module.balance_statistics()["drop_rate"] == 0
    assert torch.equal(module(x), make(None)(x))


@pytest.mark.parametrize(("capacity", "limit"), [(0.5, 1), (0.6, 2), (1.0, 2), (1.25, 3), (0.01, 1)])
def test_places_are_rounded_up(capacity: float, limit: int) -> None:
    assert make(capacity).limit == limit


def test_a_group_is_as_long_as_the_training_texts() -> None:
    """A text twice as long has two groups; the count begins again."""
    assert served(make(1.0), asking([0] * 16)) == [words("yynnnnnn" * 2)]


def test_no_later_token_and_no_other_text_decides() -> None:
    module, x = make(0.5), asking([0, 1, 0, 1, 2, 3, 2, 0], [0, 0, 1, 1, 2, 2, 3, 3])
    other = x.clone()
    other[:, 4:] = asking([0] * 4, [1] * 4)
    torch.testing.assert_close(module(other)[:, :4], module(x)[:, :4], rtol=0, atol=1e-14)
    torch.testing.assert_close(module(x[1:]), module(x)[1:], rtol=0, atol=1e-14)
    torch.testing.assert_close(module(x[:, :3]), module(x)[:, :3], rtol=0, atol=1e-14)


@pytest.mark.parametrize("pieces", [[1] * 20, [7, 1, 12], [8, 8, 4], [3, 17], [20]])
def test_decoding_remembers_the_places_taken(pieces: list[int]) -> None:
    """Across the end of a group too."""
    module = make(0.5)
    x = asking([0, 1, 0, 1, 2, 3, 2, 0, 0, 0, 1, 2, 0, 1, 2, 3, 1, 1, 0, 2], [3] * 20)
    state = module.new_state(2, 20, x)
    parts = [module(piece, state) for piece in x.split(pieces, dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), module(x), rtol=0, atol=1e-14)
    assert make(None).new_state(2, 20, x) == {}, "nothing to remember when nothing is dropped"


def test_dropped_tokens_still_teach_the_balance() -> None:
    """f counts what was asked for, so a crowd is punished however few are served."""
    losses = []
    for capacity in (None, 0.5):
        module = make(capacity).train()
        module(asking([0] * 8))
        losses.append(module.auxiliary_loss.item())
    assert losses[0] == losses[1] > 0.01


def test_capacity_must_be_positive() -> None:
    with pytest.raises(UserError, match="capacity"):
        make(0.0)
