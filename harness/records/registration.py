"""What a study sets out to show, written down and hashed before its first run.

The digest is in study.json from the beginning; a report computes it again, so that a hypothesis, margin or number of
seeds that was changed afterwards is seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.spec.digest import json_sha256

ALPHA = 0.05
"""Level of the family of primary tests; convention."""

POWER = 0.8
"""Of the smallest effect that a study reports; convention."""

FAMILIES = {
    "holm": "paired t-test and two one-sided t-tests over seeds, Holm over the arms",
    "max-t": "max-t by sign flips over seeds (Westfall and Young), and two one-sided t-tests, Holm over the arms",
    "dunnett": "Dunnett's test with seeds as blocks, and no difference is called where the arms' differences spread "
    "unequally; and two one-sided t-tests, Holm over the arms",
    "explore": "exploratory, without verdicts: paired t-tests over seeds, Benjamini-Hochberg over the arms",
}
"""How the level is shared among the arms of a study, as its registration says it; analyse/family.py does it."""

SCREENING_LEVEL = 0.25
"""One-sided level at which a screened arm goes on; assumption, lenient: a good arm dropped here is lost, a poor one
costs only its confirming seeds. `analyse.two_stage.operating` shows what another one does."""


def register(
    *,
    baseline: str,
    arms: Sequence[str],
    match: str,
    margin: float,
    seeds: Sequence[int],
    scores: Sequence[str],
    looks: Sequence[int] = (),
    family: str = "holm",
    screen: Sequence[int] = (),
    design: Mapping[str, Any] | None = None,
    cap: float | None = None,
) -> dict[str, Any]:
    """The registration of a study: hypotheses, metric, margin, seeds, tests, looks, and its own `sha256`.

    Args:
        family: of FAMILIES.
        screen: the seeds that only choose which arms go on; the others judge them.
        design: what `StudyRecord.design` says: the arm that each is compared with, and effects to be estimated.
        cap: the loss that a diverged run counts as, in nats per byte, where every planned run is to count.
    """
    design = design or {}
    against = {cell["arm"]: cell["against"] or baseline for cell in design.get("cells", [])}
    sequential = "t at each look against Lan-DeMets boundaries (O'Brien-Fleming type), the level shared by the arms"
    body = {
        "hypotheses": [
            f"{arm} differs from {against.get(arm, baseline)} in validation loss, or is equivalent to it within "
            f"{margin:g} nats per byte"
            for arm in arms
        ]
        + _effects(design),
        "primary_metric": "nats_per_byte on the whole validation split",
        "matched_by": match,
        "margin": margin,
        "seeds": list(seeds),
        "tests": sequential if len(looks) > 1 else FAMILIES[family],
        "family": family,
        "alpha": ALPHA,
        "looks": list(looks) or [len(seeds)],
        "secondary": list(scores),
        "exclusions": "none: a verdict needs every planned run of both arms",
    }
    if design:
        body["design_sha256"] = digest_of(dict(design))
    if screen:
        body["screen"] = list(screen)
        body["screening"] = (
            f"an arm goes on when every screening run finished and it is better at a one-sided level of "
            f"{SCREENING_LEVEL:g}; it is judged on the other seeds alone, among the arms that went on"
        )
    if cap is not None:
        body["divergence"] = (
            f"compared by intention to treat, beside the verdicts: a diverged run counts as {cap:.4f} nats per byte, "
            "the loss of equal odds for all tokens"
        )
        body["divergence_cap"] = cap
    return {**body, "sha256": digest_of(body)}


def _effects(design: Mapping[str, Any]) -> list[str]:
    if "factorial" not in design.get("kinds", ()):
        return []
    names = ", ".join(factor["name"] for factor in design["factors"])
    return [
        f"each main effect and two-way interaction of {names} differs from zero: effect coding with seeds as blocks, "
        "Holm over these effects, a family of their own"
    ]


def extended(registration: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The registration with more decided, under a digest of the whole."""
    body = {name: value for name, value in (registration | more).items() if name != "sha256"}
    return {**body, "sha256": digest_of(body)}


def digest_of(registration: dict[str, Any]) -> str:
    """SHA-256 of what is registered, its own digest left out."""
    body = {name: value for name, value in registration.items() if name != "sha256"}
    return json_sha256(body)
