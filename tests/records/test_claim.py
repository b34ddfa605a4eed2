"""Claims as declared: the shipped ones are read, and every kind of broken file is one sentence with its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.records.claim import Family, choose_claims, claim_from_json, claim_json, read_claim, read_claims
from variants.errors import UserError

GOOD = """
id = "X1"
title = "An arm is better"
statement = "An arm is better than the baseline."
matched = "training FLOPs"

[[source]]
key = "none"
where = "nobody"
figures = "none"

[[arm]]
name = "base"

[[arm]]
name = "arm"
tokens = ["norm=rms"]

[[question]]
name = "loss"
says = "arm minus base"
measure = "contrast"
weights = { arm = 1, base = -1 }
rule = "below"
sesoi = 0.01
"""


def test_the_articles_claims_are_read() -> None:
    claims = read_claims()
    assert [claim.id for claim in claims] == [f"C{n}" for n in range(1, 18)]
    assert len(Family.of(claims).members) == 6, "definitions, section 5: C1, C6, C8, C10, C11, C14"
    assert {claim for claim, _ in Family.of(claims).members} == {"C1", "C6", "C8", "C10", "C11", "C14"}
    for claim in claims:
        assert claim_from_json(claim_json(claim)) == claim
        assert claim.sources
        assert "[M]" not in str(claim), "a remembered figure is never quoted"


def test_claims_are_chosen_by_id_in_their_own_order() -> None:
    claims = read_claims()
    assert [claim.id for claim in choose_claims(claims, ["c10", "C2"])] == ["C2", "C10"]
    with pytest.raises(UserError, match="unknown claim 'C99'"):
        choose_claims(claims, ["C99"])


BROKEN = [
    ("id = ", "id = [", "is not TOML"),
    ('id = "X1"', 'id = "X 1"', "an id is a letter"),
    ('title = "An arm is better"', "", "lacks 'title'"),
    ('title = "An arm is better"', "title = 3", "title takes a str, got 3"),
    ("matched =", "mached =", "unknown key 'mached'; did you mean 'matched'"),
    ('measure = "contrast"', 'measure = "contrats"', "unknown measure 'contrats'; did you mean 'contrast'"),
    ('rule = "below"', 'rule = "belw"', "unknown rule 'belw'; did you mean 'below'"),
    ("sesoi = 0.01", "margin = 0.01", "unknown key 'margin'"),
    ("sesoi = 0.01", 'sesoi = "small"', "limits of a rule are numbers"),
    ("weights = { arm = 1, base = -1 }", "", "lacks 'weights', which the measure contrast takes"),
    ("weights = { arm = 1,", "weights = { amr = 1,", "names the arm 'amr'; did you mean 'arm'"),
    ("weights = { arm = 1,", 'weights = { arm = "1",', "weights are numbers by arm"),
    ('name = "arm"', 'name = "base"', "every arm has a name of its own"),
    ('tokens = ["norm=rms"]', 'tokens = "norm=rms"', "tokens takes a list"),
    ("[[question]]", "[question]", "under [[question]]"),
    ('tokens = ["norm=rms"]', 'precision = "fp8"', "precision is fp32 or bf16, got 'fp8'"),
    ('matched = "training FLOPs"', 'matched = "x"\nmatch = "time"', "match is flops, params or tokens"),
    ('rule = "below"\nsesoi = 0.01', 'rule = "untested"', "untested in its measure or its rule and not in both"),
    (GOOD[GOOD.index("[[question]]") :], "", "asks no question"),
]


@pytest.mark.parametrize(("old", "new", "says"), BROKEN, ids=[says for _, _, says in BROKEN])
def test_a_broken_file_is_one_sentence(old: str, new: str, says: str, tmp_path: Path) -> None:
    assert old in GOOD
    path = tmp_path / "X1.toml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        read_claims(tmp_path)
    assert says in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_good_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "X1.toml"
    path.write_text(GOOD)
    claim = read_claim(path)
    assert claim.trains
    assert claim.seeds_of(claim.arm("arm")) == 5
    (tmp_path / "X2.toml").write_text(GOOD)
    with pytest.raises(UserError, match=r"name the file X1\.toml"):
        read_claims(tmp_path)


def test_folders_and_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no claims"):
        read_claims(tmp_path)
    with pytest.raises(UserError, match="cannot be read"):
        read_claim(tmp_path / "X1.toml")
