"""The claims of a ledger: from evidence to estimates, from estimates to words. No torch; nothing is looked up that the
evidence does not hold.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analyse.compute_ratio import log_compute_ratio
from harness.analyse.statistics import mean_and_sd
from harness.analyse.text import count, listing, number, p_text, plain
from harness.analyse.words import LEVEL, WORDS, Asked, Effect, Judged, Shape, Word, judge, judge_family
from harness.records.claim import Claim, Question, claim_from_json
from harness.records.evidence import EvidenceRecord, LedgerRecord

PRIMARY = "nats_per_byte"
"""What a contrast is of when its question names no score."""

UNITS = {"compute": "times", "speed": "%", "latency": "%", "memory": "%", "kernel": "times"}
"""Of the measures that have one of their own."""


@dataclass(frozen=True)
class Finding:
    """A question answered. `effect` is None where there is no number, and `reason` says why."""

    claim: str
    question: Question
    word: Word
    effect: Effect | None
    reason: str
    unit: str
    seeds: int  # that the number rests on; 0 where it rests on none
    lost: tuple[str, ...] = ()  # runs that diverged or failed, by arm
    p_adjusted: float | None = None  # Holm's, of a confirmatory question
    kernels: str = ""  # of a measure of time

    @property
    def value(self) -> float | None:
        return None if self.effect is None else self.effect.value

    @property
    def ci95(self) -> tuple[float, float] | None:
        return None if self.effect is None or self.effect.exact else self.effect.interval(0.05)


@dataclass(frozen=True)
class ClaimResult:
    """A claim with its questions answered, the first of which is the claim itself."""

    claim: Claim
    findings: tuple[Finding, ...]
    evidence: EvidenceRecord

    @property
    def word(self) -> Word:
        return self.findings[0].word


@dataclass(frozen=True)
class Estimate:
    """What a measure gives: an effect, or the reason why there is none."""

    effect: Effect | None
    reason: str = ""
    seeds: int = 0
    lost: tuple[str, ...] = ()
    pending: bool = False
    kernels: str = ""


def results(ledger: LedgerRecord, evidence: Mapping[str, EvidenceRecord]) -> list[ClaimResult]:
    """Every claim that has evidence, in the order of the numbers; the confirmatory questions are judged together."""
    claims = {id: claim_from_json(record.claim) for id, record in evidence.items()}
    estimates = {
        (id, q.name): estimate(q, claim, evidence[id]) for id, claim in claims.items() for q in claim.questions
    }
    questions = {(id, q.name): q for id, claim in claims.items() for q in claim.questions}
    family = [(id, name) for id, name in ledger.family]
    members = [_member(questions.get(key), estimates.get(key)) for key in family]
    together: dict[tuple[str, str], Judged | None] = dict(zip(family, judge_family(members), strict=True))
    return [
        ClaimResult(
            claim,
            tuple(
                _finding(claim, q, estimates[id, q.name], together.get((id, q.name)), len(family))
                for q in claim.questions
            ),
            evidence[id],
        )
        for id, claim in sorted(claims.items(), key=lambda item: order_of(item[0]))
    ]


def order_of(id: str) -> tuple[str, int]:
    """C2 before C10."""
    digits = "".join(c for c in id if c.isdigit())
    return id.rstrip("0123456789"), int(digits or 0)


def _member(q: Question | None, found: Estimate | None) -> Asked | None:
    if q is None or found is None or found.effect is None or found.lost:
        return None
    return Asked(q.rule, found.effect, q.limits)


def _finding(claim: Claim, q: Question, found: Estimate, judged: Judged | None, family: int) -> Finding:
    unit = q.unit or UNITS.get(q.measure, "")
    word, reason = _word(q, found, judged)
    p = judged.p_adjusted if judged is not None and not reason else None
    made = Finding(claim.id, q, word, found.effect, reason, unit, found.seeds, found.lost, p, found.kernels)
    return made if reason or found.pending else dataclasses.replace(made, reason=explained(made, family))


def _word(q: Question, found: Estimate, judged: Judged | None) -> tuple[Word, str]:
    """The word, with the reason where it is not the numbers that gave it."""
    if q.measure == "untested":
        return "not tested", found.reason
    if found.pending:
        return "pending", found.reason or "it is not measured yet"
    if found.effect is None:
        return "inconclusive", found.reason
    if found.lost:
        return "inconclusive", f"{listing(found.lost)}; a word is only given by the whole plan"
    alone = judge(Asked(q.rule, found.effect, q.limits))
    return (judged if q.confirmatory and judged is not None else alone).word, ""


def explained(f: Finding, family: int) -> str:
    """Why the word, in one sentence without the number itself."""
    claimed = claim_text(f.question, f.unit)
    if f.effect is not None and f.effect.exact:
        return f"claimed: {claimed}; an exact number, without sampling"
    why = f"claimed: {claimed}; {WORDS[f.word]}"
    if f.question.confirmatory:
        return f"{why} (one of {family} confirmatory questions, p {p_text(f.p_adjusted)} after Holm)"
    return f"{why} (exploratory: at a level of {LEVEL:g} by itself)"


def claim_text(q: Question, unit: str) -> str:
    """What a question claims of its number: `below 0 by at least 0.01 nats per byte`."""
    limits, unit = q.limits, f" {unit}" if unit else ""
    null, sesoi = plain(limits.get("null", 0.0)), limits.get("sesoi", 0.0)
    if q.rule in ("below", "above"):
        return f"{q.rule} {null}" + (f" by at least {plain(sesoi)}" if sesoi else "") + unit
    if q.rule == "equal":
        return f"within {plain(limits['margin'])} of {null}{unit}"
    if q.rule == "range":
        return f"between {plain(limits['low'])} and {plain(limits['high'])}{unit}"
    if q.rule in ("at_least", "at_most"):
        return f"{q.rule.replace('_', ' ')} {plain(limits['value_claimed'])}{unit}"
    if q.rule == "exact":
        return f"{plain(limits.get('expected', 0.0))} within {plain(limits.get('tolerance', 0.0))}{unit}"
    return "nothing that was measured"


def estimate(q: Question, claim: Claim, evidence: EvidenceRecord) -> Estimate:
    """The number of a question, by its measure."""
    return _MEASURES[q.measure](q, claim, evidence)


def _contrast(q: Question, claim: Claim, evidence: EvidenceRecord) -> Estimate:
    """Mean over seeds of the weighted sum of the arms' values on one seed, with Student's interval."""
    weights: dict[str, float] = q.of["weights"]
    planned = range(min(claim.seeds_of(claim.arm(name)) for name in weights))
    score = q.of.get("score", PRIMARY)
    rows = {(run["arm"], run["seed"]): run for run in evidence.runs}
    if any((name, seed) not in rows for name in weights for seed in planned):
        there = sum((name, seed) in rows for name in weights for seed in planned)
        return Estimate(None, f"{there} of {len(planned) * len(weights)} runs are there", pending=True)
    lost = Counter(n for n in weights for seed in planned if rows[n, seed]["status"] != "finished")
    broken = tuple(f"{name}: {count(n, 'run')} of {len(planned)} did not finish" for name, n in lost.items())
    whole = [seed for seed in planned if all(rows[name, seed]["status"] == "finished" for name in weights)]
    without = [name for name in weights if any(rows[name, seed]["values"].get(score) is None for seed in whole)]
    if without:
        return Estimate(None, f"{listing(without)} has no {score}", lost=broken)
    values = [math.fsum(w * rows[name, seed]["values"][score] for name, w in weights.items()) for seed in whole]
    if len(values) < 2:
        return Estimate(None, f"{count(len(values), 'seed')} has no spread; run at least 2", len(values), broken)
    mean, sd, n = mean_and_sd(values)
    return Estimate(Effect(mean, n, error=sd / math.sqrt(n), df=n - 1), "", n, broken)


def _compute(q: Question, claim: Claim, evidence: EvidenceRecord) -> Estimate:
    """The baseline's compute for the arm's loss over the arm's own; with a timing, in seconds instead of FLOPs."""
    score, names = q.of.get("score", PRIMARY), [*q.of["ladder"], q.of["arm"]]
    losses, lost = [], []
    for name in names:
        runs = [run for run in evidence.runs if run["arm"] == name]
        if len(runs) < claim.seeds_of(claim.arm(name)):
            return Estimate(None, f"{name} has {len(runs)} of {claim.seeds_of(claim.arm(name))} runs", pending=True)
        broken = sum(run["status"] != "finished" for run in runs)
        lost += [f"{name}: {count(broken, 'run')} of {len(runs)} did not finish"] if broken else []
        losses.append([run["values"][score] for run in runs if run["status"] == "finished"])
    flops = {arm["name"]: arm["training_flops"] for arm in evidence.arms}
    budgets = [flops[name] for name in q.of["ladder"]]
    effect, reason = log_compute_ratio(budgets, losses[:-1], losses[-1], flops[q.of["arm"]])
    if effect is None or "timing" not in q.of:
        shaped = None if effect is None else _shaped(effect, "ratio")
        return Estimate(shaped, reason, len(losses[-1]), tuple(lost))
    row, reason, kernels = _timed_row(evidence, q.of["timing"], q.of["arm"], "train", None, None)
    if row is None:
        return Estimate(None, reason, len(losses[-1]), pending=not reason)
    speed = row["against_first"]
    error = math.hypot(effect.error or 0.0, (speed["ci95"][1] - speed["ci95"][0]) / (2 * 1.96))
    faster = Effect(effect.raw + speed["median"], effect.n, error=error, df=effect.df, shape="ratio")
    return Estimate(faster, "", len(losses[-1]), tuple(lost), kernels=kernels)


def _shaped(effect: Effect, shape: Shape) -> Effect:
    return Effect(effect.raw, effect.n, effect.error, effect.df, effect.ci95, effect.ci90, shape)


def _speed(q: Question, claim: Claim, evidence: EvidenceRecord) -> Estimate:
    row, reason, kernels = _timed_row(
        evidence, q.of["timing"], q.of["arm"], q.of["case"], q.of.get("batch"), q.of.get("context")
    )
    if row is None:
        return Estimate(None, reason, pending=not reason)
    return Estimate(_log_ratio(row["against_first"], "percent"), kernels=kernels)


def _log_ratio(found: Mapping[str, Any], shape: Shape) -> Effect:
    low, high = found["ci95"]
    low90, high90 = found["ci90"]
    return Effect(found["median"], found["num_blocks"], ci95=(low, high), ci90=(low90, high90), shape=shape)


def _timing(evidence: EvidenceRecord, name: str) -> tuple[Mapping[str, Any] | None, str]:
    found = evidence.timings.get(name)
    if found is None:
        return None, ""
    if found["status"] != "finished":
        return None, f"timing failed: {found['reason']}"
    return found["detail"], ""


def _timed_row(
    evidence: EvidenceRecord, timing: str, arm: str, kind: str, batch: int | None, context: int | None
) -> tuple[Mapping[str, Any] | None, str, str]:
    """The row of an arm in one case with its kernels; the first that fits where batch or context are left open."""
    detail, reason = _timing(evidence, timing)
    if detail is None:
        return None, reason, ""
    fits = [
        row
        for row in detail["rows"]
        if (row["arm"], row["kind"]) == (arm, kind)
        and batch in (None, row["batch_size"])
        and context in (None, row["context"])
    ]
    if not fits:
        return None, f"{timing} has no {kind} of {arm} at that batch or context", ""
    row = fits[0]
    if row["unavailable"] or row["against_first"] is None:
        return None, row["unavailable"] or f"{arm} is the arm that the others are held against", ""
    return row, "", row["kernels"]


def _latency(q: Question, claim: Claim, evidence: EvidenceRecord) -> Estimate:
    """Growth of a decoded token's latency from the shortest context to the longest, in percent of the former.

    From the line a + b t; the interval is that of b, with a + b t0 taken as known.
    """
    detail, reason = _timing(evidence, q.of["timing"])
    if detail is None:
        return Estimate(None, reason, pending=not reason)
    facts = next((arm for arm in detail["arms"] if arm["arm"] == q.of["arm"]), None)
    fits = {} if facts is None else dict(facts["decode_fits"])
    fit = next((fit for size, fit in fits.items() if q.of.get("batch") in (None, size)), None)
    if fit is None:
        return Estimate(None, f"{q.of['arm']} has no line through its latencies: fewer than 3 contexts")
    first, last = min(fit["contexts"]), max(fit["contexts"])
    start = fit["a"] + fit["b"] * first
    growth, low, high = (100 * b * (last - first) / start for b in (fit["b"], *fit["b_ci95"]))
    return Estimate(Effect(growth, fit["num_blocks"], ci95=(low, high)), kernels=f"{detail['dtype']}, eager decoding")


def _memory(q: Question, claim: Claim, evidence: EvidenceRecord) -> Estimate:
    detail, reason = _timing(evidence, q.of["timing"])
    if detail is None:
        return Estimate(None, reason, pending=not reason)
    peaks = {arm["arm"]: arm["peak_memory"]["total_bytes"] for arm in detail["arms"]}
    mine, first = peaks.get(q.of["arm"]), peaks[detail["arms"][0]["arm"]]
    if not mine or not first:
        return Estimate(None, "the peak was not measured on this device")
    return Estimate(Effect(math.log(mine / first), 1, shape="percent"))


def _kernel(q: Question, claim: Claim, evidence: EvidenceRecord) -> Estimate:
    name = f"{q.of['mode']} {q.of['width']}{' with backward' if q.of.get('backward') else ''}"
    found = evidence.kernels.get(name)
    if found is None:
        return Estimate(None, pending=True)
    if found["status"] != "finished":
        return Estimate(None, f"timing failed: {found['reason']}")
    return Estimate(_log_ratio(found["detail"]["log_ratio"], "ratio"), kernels=q.of["mode"])


def _count(q: Question, claim: Claim, evidence: EvidenceRecord) -> Estimate:
    facts = {arm["name"]: arm for arm in evidence.arms}
    if q.of["field"] not in facts[q.of["arm"]]:
        return Estimate(None, f"arms have no {q.of['field']!r}")
    over = facts[q.of["against"]][q.of["field"]] if "against" in q.of else 1.0
    return Estimate(Effect(facts[q.of["arm"]][q.of["field"]] / over, 1))


def _check(q: Question, claim: Claim, evidence: EvidenceRecord) -> Estimate:
    found = evidence.checks.get(q.of["check"])
    if found is None:
        return Estimate(None, pending=True)
    return Estimate(Effect(float(found["values"][q.of["value"]]), 1))


def _untested(q: Question, claim: Claim, evidence: EvidenceRecord) -> Estimate:
    return Estimate(None, q.of["reason"])


_MEASURES = {
    "contrast": _contrast,
    "compute": _compute,
    "speed": _speed,
    "latency": _latency,
    "memory": _memory,
    "kernel": _kernel,
    "count": _count,
    "check": _check,
    "untested": _untested,
}


def tally(found: Sequence[ClaimResult]) -> str:
    """`17 claims: 4 supported, 2 refuted, 1 not tested`."""
    words = Counter(result.word for result in found)
    said = [f"{words[word]} {word}" for word in WORDS if words[word]]
    return f"{count(len(found), 'claim')}: {', '.join(said)}"


def claim_line(result: ClaimResult) -> str:
    """`C6 EQUIVALENT: RMSNorm is as good as LayerNorm: -0.0027 [-0.0087, +0.0033] nats per byte`."""
    first = result.findings[0]
    number = "" if first.value is None else f": {value_text(first)}"
    return f"{result.claim.id} {result.word.upper()}: {result.claim.title}{number}"


def value_text(f: Finding) -> str:
    """`-0.0079 [-0.0147, -0.0010] nats per byte`; `1.8e-14` for a number that is nearly nothing."""
    if f.value is None:
        return "no number"
    decimals = f.question.decimals
    small = f.value != 0 and abs(f.value) < 0.5 * 10**-decimals and f.effect is not None and f.effect.exact
    sign = f.question.measure in ("contrast", "speed", "latency", "memory")
    value = f"{f.value:.1e}" if small else f"{f.value:+.{decimals}f}" if sign else number(f.value, decimals)
    ends = (
        ""
        if f.ci95 is None
        else f" [{', '.join(f'{x:+.{decimals}f}' if sign else number(x, decimals) for x in f.ci95)}]"
    )
    return f"{value}{ends}{f' {f.unit}' if f.unit else ''}"
