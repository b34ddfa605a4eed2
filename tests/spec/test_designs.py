"""Designs: which arms they make of tokens, what each is compared with, and what is refused."""

from __future__ import annotations

import itertools

import pytest

from harness.spec.designs import Design, DesignChoice, make_design
from harness.spec.factors import parse_factors
from harness.spec.presets import preset
from harness.spec.sizes import resize
from harness.spec.spec import Choice, Spec
from harness.spec.tokens import parse_arms
from variants.errors import UserError

BASELINE = Spec()
THREE = ("norm=rms", "activation=swiglu", "position=rope")


def design(*tokens: str, kinds: str = "joint", one_in: int = 1) -> Design:
    return make_design(DesignChoice(tuple(kinds.split(",")), one_in), tokens, "gpt2", BASELINE)


def arms(made: Design) -> dict[str, str]:
    return {cell.arm.name: cell.against for cell in made.cells}


def test_a_joint_design_is_what_the_tokens_say() -> None:
    made = design("norm=rms,layer", "activation=relu")
    assert [cell.arm for cell in made.cells] == parse_arms(["norm=rms,layer", "activation=relu"], BASELINE)
    assert made.to_json("gpt2") == {}


def test_add_one_and_leave_one_out() -> None:
    assert arms(design("norm=rms,dyt", "activation=swiglu", kinds="add-one")) == {
        "norm=rms": "gpt2",
        "norm=dyt": "gpt2",
        "activation=swiglu": "gpt2",
    }
    everything = "norm=rms activation=swiglu position=rope"
    assert arms(design(*THREE, kinds="leave-one-out")) == {
        everything: "gpt2",
        "activation=swiglu position=rope": everything,
        "norm=rms position=rope": everything,
        "norm=rms activation=swiglu": everything,
    }


def test_a_path_compares_each_with_the_one_before() -> None:
    assert arms(design(*THREE, kinds="path")) == {
        "norm=rms": "gpt2",
        "norm=rms activation=swiglu": "norm=rms",
        "norm=rms activation=swiglu position=rope": "norm=rms activation=swiglu",
    }


def test_a_factorial_has_every_combination_once() -> None:
    made = design("norm=rms,dyt", "activation=swiglu", "ffn=moe", "ffn.num_experts=4", kinds="factorial")
    assert made.factors == (
        ("norm", ("layer", "rms", "dyt")),
        ("activation", ("gelu", "swiglu")),
        ("ffn", ("dense", "moe num_experts=4")),
    )
    levels = [(0, 0, 0), *(cell.levels for cell in made.cells)]
    assert sorted(levels) == sorted(itertools.product(range(3), range(2), range(2)))
    assert len({cell.arm.spec for cell in made.cells}) == 11
    assert set(arms(made).values()) == {"gpt2"}


def test_a_fraction_has_its_runs_and_says_its_aliases() -> None:
    made = design(*THREE, kinds="factorial", one_in=2)
    assert made.fraction is not None
    assert {(0, 0, 0), *(cell.levels for cell in made.cells)} == set(made.fraction.runs)
    assert len(made.cells) == 3
    words = made.to_json("gpt2")["words"]
    assert "norm is mixed with -(activation x position)." in words
    assert made.to_json("gpt2")["generators"] == [["position", ["norm", "activation"]]]


def test_designs_share_their_arms() -> None:
    made = design(*THREE, kinds="add-one,leave-one-out,path")
    assert len(made.cells) == 7, "every combination of three but none, each once"
    assert arms(made)["norm=rms activation=swiglu"] == "norm=rms activation=swiglu position=rope", "the first decides"


def test_options_belong_to_their_variant_and_alone_are_factors() -> None:
    names = [factor.name for factor in parse_factors(["ffn.num_experts=4", "norm.eps=1e-3", "ffn=moe"], BASELINE)]
    assert names == ["ffn", "norm.eps"]
    (factor,) = parse_factors(["model.bias=false"], BASELINE)
    assert [level.label for level in factor.levels] == ["true", "false"]
    (factor,) = parse_factors(["norm.eps=1e-3"], BASELINE)
    assert [level.label for level in factor.levels] == ["1e-05", "0.001"]


def along(*names: str) -> Design:
    presets = tuple((name, resize(preset(name), "2x32", heads=2, seq_len=16)) for name in names)
    return make_design(DesignChoice(("path",), presets=presets), (), names[0], presets[0][1])


def test_a_path_of_presets_changes_one_thing_a_step() -> None:
    made = along("gpt2", "llama", "minimind2-moe")
    specs = [resize(preset("gpt2"), "2x32", heads=2, seq_len=16), *(cell.arm.spec for cell in made.cells)]
    fields = [f for f in vars(specs[0]) if f != "d_ff"]
    for before, after in itertools.pairwise(specs):
        assert sum(getattr(before, f) != getattr(after, f) for f in fields) == 1
    assert [cell.arm.name for cell in made.cells][4] == "llama"
    assert made.cells[5].arm.name == "llama norm.eps=1e-05"
    assert made.cells[-1].arm.name == "minimind2-moe"
    goal = resize(preset("minimind2-moe"), "2x32", heads=2, seq_len=16)
    assert made.cells[-1].arm.spec.replace(d_ff=None, vocab_size=9) == goal.replace(d_ff=None, vocab_size=9)
    names = [cell.arm.name for cell in made.cells]
    assert len(set(names)) == len(names)
    assert [cell.against for cell in made.cells] == ["gpt2", *names[:-1]]


def test_options_that_go_back_to_their_default_have_a_name() -> None:
    made = along("llama-3.1-8b", "llama")
    assert made.cells[0].arm.name == "norm.eps=1e-06"
    assert made.cells[0].arm.spec.norm == Choice("rms")


@pytest.mark.parametrize(
    ("tokens", "kinds", "one_in", "sentence"),
    [
        (["norm=rms"], "ad-one", 1, "did you mean 'add-one'"),
        (["norm=rms"], "path,path", 1, "each design once"),
        (["norm=rms"], "leave-one-out", 1, "at least 2 tokens"),
        (["norm=rms,dyt", "ffn=moe"], "path", 1, "one value a token, got norm=rms,dyt"),
        (["norm=layer", "ffn=moe"], "factorial", 1, "changes nothing"),
        (["norm=rms", "ffn=moe"], "factorial", 3, "1/2, 1/4"),
        (["norm=rms", "ffn=moe"], "add-one", 2, "--design factorial alone"),
        (["norm=rms,dyt", "ffn=moe"], "factorial", 2, "one value a token"),
        ([], "factorial", 1, "name at least one"),
        (["norms=rms"], "add-one", 1, "did you mean 'norm'"),
        (["norm=rms", "norm=dyt"], "add-one", 1, "second time"),
    ],
)
def test_what_does_not_go_together_is_refused(tokens: list[str], kinds: str, one_in: int, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        design(*tokens, kinds=kinds, one_in=one_in)


def test_paths_that_go_nowhere_are_refused() -> None:
    for names, sentence in (
        (("gpt2",), "at least two presets"),
        (("gpt2", "gpt2-xl"), "gpt2-xl is gpt2 at another size"),
        (("gpt2", "llama", "gpt2"), "comes back"),
    ):
        with pytest.raises(UserError, match=sentence):
            along(*names)
    with pytest.raises(UserError, match="takes no tokens"):
        make_design(DesignChoice(("path",), presets=(("gpt2", BASELINE),) * 2), ["norm=rms"], "gpt2", BASELINE)
