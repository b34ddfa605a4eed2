"""The report of a claims ledger: the words first, then each claim with what was published and what was measured.

report.html, report.md, claims.json and the figures, from evidence alone: no torch, no run store.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.analyse.claim_curves import claim_curves
from harness.analyse.claims import ClaimResult, Finding, claim_line, claim_text, results, tally, value_text
from harness.analyse.claims_forest import claim_panels
from harness.analyse.text import count, duration, listing, number, p_text
from harness.analyse.words import LEVEL, WORDS, Word
from harness.records.atomic import write_text
from harness.records.evidence import LedgerRecord, read_evidence, read_ledger
from harness.records.seal import finite
from harness.reporting.cells import lines
from harness.reporting.figures.claim_curves import claim_curve
from harness.reporting.figures.claims_forest import claims_forest
from harness.reporting.files import write_page
from harness.reporting.page import Page, VerdictText
from harness.reporting.section import Drawing, Grid, Section

CLAIMS_VERSION = 1  # of claims.json

KINDS: dict[Word, str] = {
    "supported": "better",
    "direction only": "better",
    "equivalent": "equivalent",
    "refuted": "worse",
    "inconclusive": "inconclusive",
    "not tested": "none",
    "pending": "none",
}
"""The page's colours."""

THREATS = (
    "One tokenizer, one text, one recipe, tuned for the baseline. A word holds for the scope beside it and for nothing "
    "larger until it is measured there.",
    "Absolute published numbers are not comparable with ours: theirs are of other texts, tokenizers and objectives "
    "(T5's span corruption against causal language modelling). What is compared is the direction and the size of a "
    "difference, and ratios.",
    "Gains that survive are rare at scale: of 20 modifications at 1.2B parameters, compared at equal data, compute and "
    "recipe over several seeds, 2 clear Bonferroni's correction, and one of them is unstable at 3B (Zhao et al. 2026, "
    "arXiv:2605.20798, abstract). The best architecture changes with scale (Tay et al., arXiv:2207.10551, abstract).",
    "Published figures were read in public transcriptions; check the paper before quoting one.",
)


def write_claims_report(folder: Path, ledger: LedgerRecord, found: Sequence[ClaimResult]) -> Path:
    """Write the report's files; returns the path of report.html. Raises `StoreError` when the disk refuses."""
    write_text(folder / "claims.json", json.dumps(claims_json(ledger, found), indent=1, allow_nan=False) + "\n")
    return write_page(folder, claims_page(ledger, found))


def rebuild_claims(folder: Path) -> list[str]:
    """Write the report anew from the evidence in `folder`; gives what the command prints.

    Raises:
        UserError: the folder is no ledger's, or a file in it was cut short, damaged or edited.
        StoreError: the disk refuses.
    """
    ledger = read_ledger(folder)
    found = results(ledger, read_evidence(folder))
    path = write_claims_report(folder, ledger, found)
    return [*map(claim_line, found), f"{tally(found)}   report: {path}"]


def claims_json(ledger: LedgerRecord, found: Sequence[ClaimResult]) -> dict[str, Any]:
    """The document of claims.json and --json: every claim, question, number and word."""
    body = {
        "schema_version": CLAIMS_VERSION,
        "scale": ledger.scale,
        "scope": scope(ledger),
        "claims": [
            {
                "id": result.claim.id,
                "title": result.claim.title,
                "statement": result.claim.statement,
                "word": result.word,
                "published": [{"where": s.where, "figures": s.figures, "key": s.key} for s in result.claim.sources],
                "matched": result.claim.matched,
                "questions": [_question_json(finding) for finding in result.findings],
            }
            for result in found
        ],
    }
    return finite(body)


def _question_json(f: Finding) -> dict[str, Any]:
    return {
        "name": f.question.name,
        "says": f.question.says,
        "claimed": claim_text(f.question, f.unit),
        "word": f.word,
        "value": f.value,
        "ci95": f.ci95,
        "unit": f.unit,
        "seeds": f.seeds,
        "confirmatory": f.question.confirmatory,
        "p_adjusted": f.p_adjusted,
        "kernels": f.kernels,
        "reason": f.reason,
    }


def scope(ledger: LedgerRecord) -> str:
    """Size, text, tokens, hardware: what a word is about."""
    tokens = ledger.num_steps * int(ledger.recipe["tokens_per_step"])
    return (
        f"{ledger.size}, {ledger.data['name']} ({ledger.data['tokenizer']}), {tokens:,} tokens and "
        f"{ledger.budget:.3g} training FLOPs a run of the baseline, {ledger.environment['hardware']}"
    )


def claims_page(ledger: LedgerRecord, found: Sequence[ClaimResult]) -> Page:
    """The page of a ledger."""
    sections = [
        _overview(found),
        *(claim_section(ledger, result) for result in found),
        _shortfalls(found),
    ]
    sections.append(_unfinished(found))
    return Page(
        headline=f"The claims at scale {ledger.scale}: {tally(found).partition(': ')[2] or 'none yet'}",
        study=f"claims ledger, {ledger.scale}",
        created=ledger.created,
        summary=_summary(found),
        verdicts=[_verdict(result) for result in found],
        forest=_forest(found),
        setup=_setup(ledger),
        sections=[section for section in sections if section is not None],
        notes=_notes(ledger),
        command=shlex.join(["python", "-m", "harness.claims", *ledger.command]),
    )


def _summary(found: Sequence[ClaimResult]) -> str:
    runs = {run["key"]: run["seconds"] for result in found for run in result.evidence.runs}
    return f"{tally(found)}; {count(len(runs), 'run')}, {duration(sum(runs.values()))} of training on one core each"


def _verdict(result: ClaimResult) -> VerdictText:
    first = result.findings[0]
    reason = first.reason[:1].upper() + first.reason[1:]
    return VerdictText(
        kind=KINDS[result.word],
        words=f"{result.claim.id} {result.word}: {result.claim.title}",
        means=first.question.says,
        numbers=value_text(first),
        reason=f"{reason}." if reason and not reason.endswith(".") else reason,
    )


def _forest(found: Sequence[ClaimResult]) -> Drawing | None:
    panels = claim_panels(found)
    if not panels:
        return None
    alt = "Every question's estimate with its 95 % interval, a panel a unit; the numbers are in the tables"
    caption = (
        "Shaded: where the claim puts the number. 95 % intervals, not adjusted; the words of confirmatory questions "
        "are given at Holm's level. An arrow at the edge: it goes on beyond."
    )
    return Drawing("forest", claims_forest(panels), alt, caption)


def _setup(ledger: LedgerRecord) -> list[tuple[str, str]]:
    r, data = ledger.recipe, ledger.data
    return [
        ("scope", scope(ledger)),
        ("text", f"{data['name']}, {data['train_tokens']:,} training tokens, sha256 {data['sha256'][:16]}"),
        ("recipe", f"peak learning rate {r['lr']:g}, {r['tokens_per_step']} tokens a step, seq_len {ledger.seq_len}"),
        ("steps", f"{ledger.num_steps:,} of the baseline; each run's schedule ends at its own last step"),
        ("confirmatory family", listing(f"{claim} {name}" for claim, name in ledger.family)),
        ("environment", ", ".join(f"{key} {value}" for key, value in ledger.environment.items() if key != "hardware")),
    ]


def _overview(found: Sequence[ClaimResult]) -> Section | None:
    rows = [
        (
            result.claim.id,
            result.word,
            value_text(result.findings[0]),
            claim_text(result.findings[0].question, result.findings[0].unit),
            result.claim.title,
        )
        for result in found
    ]
    columns = ("claim", "verdict", "ours, 95 % interval", "claimed of it", "reason")
    grid = Grid(columns, rows, "The last column is the claim. Each has a section below with its figures and questions.")
    return Section("All claims", grids=(grid,)) if rows else None


def claim_section(ledger: LedgerRecord, result: ClaimResult) -> Section:
    """A claim: statement, published figures, what was matched and measured, arms, scope."""
    claim = result.claim
    published = [f"Published ({source.where}): {source.figures}{_caveat(source.caveat)}" for source in claim.sources]
    notes = [
        claim.statement,
        *published,
        f"Matched: {claim.matched}",
        *(f"Caveat: {caveat}" for caveat in claim.caveats),
        f"Scope: {claim_scope(ledger, result)}.",
    ]
    grids = [_questions(result)]
    if claim.trains:
        grids.append(_arms(result))
    for name, check in result.evidence.checks.items():
        if "rows" in check:
            grids.append(Grid(tuple(check["columns"]), [tuple(row) for row in check["rows"]], title=name))
    drawings = tuple(
        Drawing(
            curve.name, claim_curve(curve), f"{curve.title}, of claim {claim.id}", f"{curve.title}. {curve.caption}"
        )
        for curve in claim_curves(result)
    )
    return Section(f"{claim.id} {result.word}: {claim.title}", tuple(notes), tuple(grids), drawings)


def _caveat(text: str) -> str:
    return f" ({text})" if text else ""


def claim_scope(ledger: LedgerRecord, result: ClaimResult) -> str:
    """The ledger's scope with the claim's own seeds and heads, or that nothing was trained."""
    if not result.claim.trains:
        return f"no training; {ledger.environment['hardware']}, torch {ledger.environment['torch']}"
    seeds = sorted({finding.seeds for finding in result.findings if finding.seeds})
    heads = "" if result.claim.heads is None else f", {count(result.claim.heads, 'head')}"
    return f"{scope(ledger)}{heads}, {listing(seeds)} seeds" if seeds else scope(ledger)


def _questions(result: ClaimResult) -> Grid:
    rows = [
        (
            f.question.name,
            f.word,
            lines(value_text(f), "" if f.word == "not tested" else f"claimed: {claim_text(f.question, f.unit)}"),
            str(f.seeds or "n/a"),
            _about(f),
        )
        for f in result.findings
    ]
    note = (
        "The first question is the claim; its word is the claim's. p is of the word, or of the nearest one, after Holm."
    )
    return Grid(("question", "verdict", "ours, 95 % interval", "seeds", "reason"), rows, note, "Questions")


def _about(f: Finding) -> str:
    """What a number is of, and how it was judged."""
    kind = f"confirmatory, p {p_text(f.p_adjusted)}" if f.question.confirmatory else "exploratory"
    judged = "exact" if f.effect is not None and f.effect.exact else kind
    parts = (
        f.question.says if f.word == "not tested" else f"{f.question.says} ({judged})",
        f"kernels: {f.kernels}" if f.kernels else "",
        "" if f.effect is not None and not f.lost else f.reason,
        f.question.note,
    )
    return ". ".join(part[:1].upper() + part[1:] for part in parts if part) + "."


def _arms(result: ClaimResult) -> Grid:
    runs = result.evidence.runs
    rows = []
    for arm in result.evidence.arms:
        losses = [
            run["values"]["nats_per_byte"]
            for run in runs
            if run["arm"] == arm["name"]
            and run["status"] == "finished"
            and run["values"].get("nats_per_byte") is not None
        ]
        mean = number(sum(losses) / len(losses)) if losses else "n/a"
        rows.append(
            (
                arm["name"],
                arm["tokens"] or "the baseline",
                f"{len(losses)} of {arm['seeds']}",
                mean,
                f"{arm['total']:,}",
                f"{arm['active']:,}",
                f"{arm['steps']:,}",
                f"{arm['training_flops']:.3e}",
                f"{arm['mismatch']:+.2%}",
                f"{arm['lr']:g}",
            )
        )
    columns = ("arm", "tokens", "finished", "nats per byte", "parameters", "active", "steps", "training FLOPs")
    note = "Mismatch is of the matched quantity against the baseline preset at that budget, as the arm was planned."
    return Grid((*columns, "mismatch", "learning rate"), rows, note, "Arms")


def _shortfalls(found: Sequence[ClaimResult]) -> Section | None:
    rows = [(result.claim.id, result.claim.shortfall) for result in found if result.claim.shortfall]
    note = "Where this ledger falls short of the reference protocol (two sizes, 8 seeds, tuned learning rates, ...)."
    return Section("Short of the protocol", grids=(Grid(("claim", "reason"), rows, note),)) if rows else None


def _unfinished(found: Sequence[ClaimResult]) -> Section | None:
    lost = {
        (run["key"], run["arm"], run["seed"], run["status"], run["reason"])
        for result in found
        for run in result.evidence.runs
        if run["status"] != "finished"
    }
    rows = [(arm, str(seed), status, reason) for _, arm, seed, status, reason in sorted(lost)]
    return (
        Section("Runs that did not finish", grids=(Grid(("arm", "seed", "status", "reason"), rows),)) if rows else None
    )


def _notes(ledger: LedgerRecord) -> list[str]:
    words = "; ".join(f"{word}: {text}" for word, text in WORDS.items() if word != "pending")
    return [
        f"The words: {words}.",
        f"Confirmatory questions, {len(ledger.family)} declared, share a level of {LEVEL:g} for each word by Holm's "
        "procedure, and those without data count among them. Everything else is exploratory: judged at that level by "
        "itself, so some of it will be wrong.",
        "A contrast is over paired seeds with Student's interval. A ratio of compute is read between rungs of the "
        "baseline's ladder, with a jackknife over runs. Times are of blocks interleaved in one process, and hold for "
        "these kernels on this machine.",
        *THREATS,
    ]
