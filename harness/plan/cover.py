"""A few arms of a plan that use every variant which any arm uses: what holds of a variant is asked once, not an arm."""

from __future__ import annotations

from collections.abc import Sequence

from harness.plan.match import PlannedArm


def cover(arms: Sequence[PlannedArm]) -> list[PlannedArm]:
    """The arm with the most variants that those before it lack, again and again until none lacks any.

    Of 1,250 arms crossed from five slots that is as many as the fullest slot has variants, of two arms both.
    """
    lacking = {arm.name: frozenset(arm.ledger.spec.variants()) for arm in arms}
    named, chosen = {arm.name: arm for arm in arms}, []
    while any(lacking.values()):
        first = max(lacking, key=lambda name: len(lacking[name]))
        chosen.append(named[first])
        seen = lacking[first]
        lacking = {name: variants - seen for name, variants in lacking.items()}
    return chosen
