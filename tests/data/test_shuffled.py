"""The shuffled control keeps every character of every document and nothing of their order."""

from __future__ import annotations

from pathlib import Path

from harness.data.corpus import load_corpus


def test_characters_stay_and_order_goes(small_text: Path) -> None:
    plain, control = load_corpus(str(small_text)), load_corpus(f"shuffled:{small_text}")
    assert control.sha256 != plain.sha256
    assert control.sha256 == load_corpus(f"shuffled:{small_text}").sha256
    for split in ("train", "validation"):
        before, after = plain.documents(split), control.documents(split)
        assert [sorted(d.text) for d in before] == [sorted(d.text) for d in after]
        assert all("Then" not in d.text or d.text.count("then") < 50 for d in after)
        assert [d.text for d in before] != [d.text for d in after]
