"""Everything an arm scored stands in its row, and what is not there says why."""

from __future__ import annotations

import dataclasses

from harness.records.example_measurements import example_throughput
from harness.reporting.section import Grid, Material
from harness.reporting.sections.scores import section


def grids(material: Material) -> dict[str, Grid]:
    found = section(material)
    assert found is not None
    assert found.title == "Scores"
    return {grid.title: grid for grid in found.grids}


def test_one_row_an_arm_with_level_and_difference(with_scores) -> None:
    scores = grids(with_scores)[""]
    assert [row[0] for row in scores.rows] == ["gpt2", "position=rope", "ffn=moe"]
    assert scores.columns[:4] == (
        "arm",
        "validation loss, nats per byte, lower is better",
        "validation loss, bits per byte, lower is better",
        "perplexity, per token of tokenizer bytes, lower is better",
    )
    assert scores.rows[0][1] == "1.6512 [1.6465, 1.6560]"
    assert scores.rows[1][1] == "1.6007 [1.5942, 1.6073]\nΔ -0.0505 [-0.0526, -0.0484]"
    late = scores.columns.index("loss in the last 25% of the context, nats per token, lower is better")
    assert scores.rows[1][late].endswith("\nΔ -0.0500 [-0.0500, -0.0500]")


def test_speed_memory_and_balance_stand_in_the_same_row(with_scores) -> None:
    arms = {arm.name: 1.0 - 0.1 * i for i, arm in enumerate(with_scores.study.arms)}
    timed = dataclasses.replace(with_scores, measurements=[example_throughput(arms, limits={"ffn=moe": 0})])
    scores = grids(timed)[""]
    row = {arm: dict(zip(scores.columns, cells, strict=True)) for arm, *cells in ((r[0], *r) for r in scores.rows)}
    rate, dense, mixed = "training, tokens/s, higher is better", row["position=rope"], row["ffn=moe"]
    assert dense[rate] == "92,200 [91,200, 93,100]\nΔ -10.0 % [-10.9, -9.1]"
    assert dense["MFU, training, higher is better"] == "25.0 % [24.8 %, 25.2 %]"
    assert dense["peak memory of a training step, lower is better"] == "6.00 MiB"
    assert mixed[rate] == "N/A"
    assert dense["MaxVio, 0 is even"] == "no experts"
    assert mixed["MaxVio, 0 is even"].startswith("1.0000 [")
    assert "medians with intervals over its blocks, Δ in percent of gpt2's" in scores.note


def test_chance_and_what_is_uninformative_are_in_the_head(with_scores) -> None:
    heads = grids(with_scores)[""].columns
    assert "blimp acc, share of items, higher is better, chance 0.250, uninformative" in heads
    assert "cloze word_perplexity, per word, lower is better" in heads


def test_what_is_not_defined_is_not_guessed(with_scores) -> None:
    scores, missing = grids(with_scores)[""], grids(with_scores)["Not scored"]
    growth = next(i for i, head in enumerate(scores.columns) if "2x" in head)
    assert [row[growth] for row in scores.rows][::2] == ["N/A", "N/A"]
    assert "N/A" not in scores.rows[1][growth]
    assert "Δ" not in scores.rows[1][growth], "the baseline has nothing to pair with"
    title = "loss at 2x the training length, against 1x"
    assert missing.rows == [(title, "gpt2 and ffn=moe: position=learned is defined for 128 positions")]


def test_failures_are_said_once(troubled_scores) -> None:
    rows = grids(troubled_scores)["Not scored"].rows
    assert [row[0] for row in rows if "failed: " in row[1]] == ["position", "capacity"]
    assert len({row[1] for row in rows}) == len(rows)


def test_a_score_of_fewer_seeds_says_how_many(troubled_scores) -> None:
    scores = grids(troubled_scores)[""]
    acc = next(i for i, head in enumerate(scores.columns) if " acc, " in head)
    assert "(2 of 4 seeds)" in scores.rows[0][acc]


def test_documents_are_a_table_of_their_own(with_scores) -> None:
    table = grids(with_scores)["Validation loss over documents"]
    rows = {row[0]: row for row in table.rows}
    assert rows["gpt2"][1:3] == ("8", "1.6512")
    assert rows["gpt2"][4:] == ("", "", "", "")
    assert rows["position=rope"][4] == "-0.0505"
    assert "crossed random effects, arm minus gpt2" in table.note


def test_other_documents_have_no_difference_and_a_reason(equivalent) -> None:
    first, *others = equivalent.runs
    moved = dataclasses.replace(first, record=dataclasses.replace(first.record, documents=[[1.0, 1, 1], [2.0, 1, 1]]))
    table = grids(dataclasses.replace(equivalent, runs=[moved, *others]))["Validation loss over documents"]
    assert table.rows[1][4:] == ("N/A",) * 4
    assert table.note.endswith("Norm=rms and gpt2 were scored on different documents.")


def test_nothing_before_a_run_has_finished(equivalent) -> None:
    assert section(dataclasses.replace(equivalent, runs=[])) is None
    plain = grids(equivalent)
    assert set(plain) == {"", "Validation loss over documents"}
    assert len(plain[""].columns) == 4
