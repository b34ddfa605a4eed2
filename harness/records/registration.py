"""What a study sets out to show, written down and hashed before its first run.

The digest is in study.json from the beginning; a report computes it again, so that a hypothesis, margin or number of
seeds that was changed afterwards is seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

ALPHA = 0.05
"""Level of the family of primary tests; convention."""

POWER = 0.8
"""Of the smallest effect that a study reports; convention."""


def register(
    *,
    baseline: str,
    arms: Sequence[str],
    match: str,
    margin: float,
    seeds: Sequence[int],
    scores: Sequence[str],
    looks: Sequence[int] = (),
) -> dict[str, Any]:
    """The registration of a study: hypotheses, metric, margin, seeds, tests, looks, and its own `sha256`."""
    fixed = "paired t-test and two one-sided t-tests over seeds, Holm over the arms"
    sequential = "t at each look against Lan-DeMets boundaries (O'Brien-Fleming type), the level shared by the arms"
    body = {
        "hypotheses": [
            f"{arm} differs from {baseline} in validation loss, or is equivalent to it within {margin:g} nats per byte"
            for arm in arms
        ],
        "primary_metric": "nats_per_byte on the whole validation split",
        "matched_by": match,
        "margin": margin,
        "seeds": list(seeds),
        "tests": sequential if len(looks) > 1 else fixed,
        "alpha": ALPHA,
        "looks": list(looks) or [len(seeds)],
        "secondary": list(scores),
        "exclusions": "none: a verdict needs every planned run of both arms",
    }
    return {**body, "sha256": digest_of(body)}


def digest_of(registration: dict[str, Any]) -> str:
    """SHA-256 of what is registered, its own digest left out."""
    body = {name: value for name, value in registration.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
