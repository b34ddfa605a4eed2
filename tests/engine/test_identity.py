"""A run's key follows what can change its numbers, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.engine import identity
from harness.engine.identity import code_digest, code_digest_of, key_of
from harness.spec.recipe import Recipe
from harness.spec.spec import Choice, Spec, layer_rule

SPEC = Spec()


def key(spec: Spec = SPEC, seed: int = 0, data: str = "d", device: str = "cpu", **recipe: float) -> str:
    return key_of(identity.identity(spec, Recipe(**recipe).to_json(), 10, seed, data, device))  # pyright: ignore


def test_a_compiled_run_is_another_run() -> None:
    parts = (SPEC, Recipe().to_json(), 10, 0, "d", "cpu")
    steps = ["eager", "compiled by g++ 12", "compiled by g++ 13"]
    assert len({key_of(identity.identity(*parts, step)) for step in steps}) == 3
    assert key_of(identity.identity(*parts, "eager")) == key()


def test_every_ingredient_changes_the_key() -> None:
    others = [key(SPEC.replace(d_ff=8)), key(seed=1), key(data="e"), key(device="cuda"), key(lr=1.0)]
    assert len({key(), *others}) == 6
    assert key() == key(Spec.from_json(SPEC.to_json()))


@pytest.fixture
def copied_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The numeric code in a folder that a test may edit."""
    for room in ("harness", "variants"):
        for path in (identity.ROOT / room).rglob("*.py"):
            target = tmp_path / path.relative_to(identity.ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(path.read_text())
    monkeypatch.setattr(identity, "ROOT", tmp_path)
    monkeypatch.setattr(identity.registry, "_ROOT", tmp_path / "variants")
    code_digest_of.cache_clear()
    yield tmp_path
    code_digest_of.cache_clear()


def digest_with(path: Path, addition: str) -> str:
    """The digest of the code when `addition` stands at the end of a file."""
    text = path.read_text()
    path.write_text(f"{text}\n{addition}\n")
    code_digest_of.cache_clear()
    identity._statements.cache_clear()
    identity._imported_variants.cache_clear()
    changed = code_digest(SPEC)
    path.write_text(text)
    code_digest_of.cache_clear()
    identity._statements.cache_clear()
    identity._imported_variants.cache_clear()
    return changed


@pytest.mark.parametrize(
    "file",
    [
        "variants/norm/layer.py",
        "variants/attention/mha.py",
        "variants/attention/_heads.py",  # imported by mha
        "variants/slots.py",
        "harness/model/initialise.py",
        "harness/train/schedule.py",
        "harness/train/compiled.py",
        "harness/data/batches.py",
        "harness/score/perplexity.py",
    ],
)
def test_code_that_matters(copied_tree: Path, file: str) -> None:
    before = code_digest(SPEC)
    assert digest_with(copied_tree / file, "one_more_statement = 1") != before
    assert digest_with(copied_tree / file, "# one more comment") == before


@pytest.mark.parametrize("file", ["variants/norm/rms.py", "harness/reporting/write.py", "harness/ablate.py"])
def test_code_that_does_not_matter(copied_tree: Path, file: str) -> None:
    before = code_digest(SPEC)
    path = copied_tree / file
    path.write_text(path.read_text() + "\none_more_statement = 1\n")
    code_digest_of.cache_clear()
    assert code_digest(SPEC) == before


def test_a_docstring_retrains_nothing(copied_tree: Path) -> None:
    before = code_digest(SPEC)
    path = copied_tree / "harness/train/schedule.py"
    path.write_text(path.read_text().replace('"""', '"""In other words: ', 1))
    code_digest_of.cache_clear()
    identity._statements.cache_clear()
    identity._imported_variants.cache_clear()
    assert code_digest(SPEC) == before


def test_the_chosen_variant_matters(copied_tree: Path) -> None:
    assert code_digest(SPEC) != code_digest(SPEC.replace(norm=Choice("rms")))


def test_a_variant_of_a_single_layer_matters(copied_tree: Path) -> None:
    spec = SPEC.replace(layer_rules=(layer_rule(1, ffn=Choice("moe")),))
    before = code_digest(spec)
    path = copied_tree / "variants/ffn/moe.py"
    path.write_text(path.read_text() + "\none_more_statement = 1\n")
    code_digest_of.cache_clear()
    identity._statements.cache_clear()
    identity._imported_variants.cache_clear()
    assert code_digest(spec) != before
