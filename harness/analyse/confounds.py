"""What else differs between an arm and the one it is compared with, beside what is named: the audit as rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.analyse.design import compared_with
from harness.analyse.text import count
from harness.records.record import ArmRecord, StudyRecord

MOST_OPERATORS = 12
"""Operators listed of an arm, those first whose number of calls differs most. Assumption."""


@dataclass(frozen=True)
class ConfoundRow:
    """One difference, both sides as text; empty for what a side does not have."""

    arm: str
    what: str
    baseline: str
    value: str


def confound_rows(study: StudyRecord) -> list[ConfoundRow]:
    """Every difference of every arm that the machine found, in the study's order of arms."""
    arms, against = {arm.name: arm for arm in study.arms}, compared_with(study)
    return [row for name, other in against.items() for row in _rows(study, arms[name], arms[other])]


def _rows(study: StudyRecord, arm: ArmRecord, base: ArmRecord) -> list[ConfoundRow]:
    audit = arm.audit
    rows = [ConfoundRow(arm.name, f"recipe: {k}", _text(study.recipe.get(k)), _text(v)) for k, v in arm.recipe.items()]
    if base.num_tokens != arm.num_tokens:
        rows.append(ConfoundRow(arm.name, "training tokens", _text(base.num_tokens), _text(arm.num_tokens)))
    if not audit:
        return rows
    for title, key in (
        ("", "choices"),
        ("parameters, ", "params_by_role"),
        ("initial values, ", "start_by_role"),
        ("forward FLOPs per token, ", "flops_by_kind"),
    ):
        rows += [ConfoundRow(arm.name, title + k, _text(a), _text(b)) for k, (a, b) in audit.get(key, {}).items()]
    for title, key in (("parameters with weight decay", "decayed_params"), ("vectors named bias", "biases")):
        a, b = audit.get(key, (None, None))
        if a != b:
            rows.append(ConfoundRow(arm.name, title, _text(a), _text(b)))
    total = base.num_params.get("total")
    rows.append(ConfoundRow(arm.name, "parameters that start with the same bits", _text(total), _text(audit["shared"])))
    return rows + _operators(arm.name, audit.get("operators"))


def _operators(arm: str, found: Mapping[str, Any] | None) -> list[ConfoundRow]:
    if found is None:
        return [ConfoundRow(arm, "operators", "not listed", "not listed")]
    most = sorted(found.items(), key=lambda item: -abs((item[1][0] or 0) - (item[1][1] or 0)))
    rows = [ConfoundRow(arm, f"calls of {name}", _text(a or 0), _text(b or 0)) for name, (a, b) in most]
    left = len(rows) - MOST_OPERATORS
    return rows[:MOST_OPERATORS] + ([ConfoundRow(arm, f"{count(left, 'more operator')}", "", "")] if left > 0 else [])


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return "; ".join(f"{count} of {start}" for start, count in value.items())
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
