"""What a study's record says of its regimes: what each arm has under each, and what is decided about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from harness.plan.match import TOLERANCE
from harness.plan.regimes import RegimeArm
from harness.records.record import RegimeRecord, StudyRecord, to_json
from harness.records.registration import extended
from harness.records.timing import TimingRecord


def regime_record(row: RegimeArm) -> RegimeRecord:
    """A row of the plan as data."""
    name = row.arm if row.regime == "flops" else row.name
    arm = row.planned
    if arm is None:
        return RegimeRecord(row.arm, row.regime, name, row.refused, TOLERANCE)
    return RegimeRecord(
        row.arm,
        row.regime,
        name,
        "",
        TOLERANCE,
        mismatch=arm.mismatch,
        d_ff=arm.ledger.spec.d_ff,
        num_params=arm.ledger.num_params,
        num_tokens=arm.num_tokens,
        training_flops=arm.training_flops,
    )


def with_regimes(study: StudyRecord, rows: Sequence[RegimeArm], timing: TimingRecord) -> StudyRecord:
    """The study of equal FLOPs with its regimes declared: which there are, their family of tests, the rule of the
    unqualified word.
    """
    others = [row.name for row in rows if row.regime != "flops" and row.planned is not None]
    registration = extended(
        study.registration,
        families=[
            "primary: every arm under equal FLOPs, Holm over the arms",
            f"regimes: {len(others)} comparisons beside it, Holm over all of them: {', '.join(others) or 'none'}",
        ],
        unqualified="better without qualification: better under equal FLOPs, and the 95 % interval under equal wall "
        "clock excludes a loss of more than the margin (definitions 3.1)",
    )
    records = [regime_record(row) for row in rows]
    return dataclasses.replace(study, regimes=records, timing=to_json(timing), registration=registration)
