"""A ladder's report: what each arm is worth in compute, whether that holds with scale, and the rungs it comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from harness.analyse.deviations import deviations
from harness.analyse.ladder import Climb, arm_of, baseline_fit, climbs, ranks
from harness.analyse.ladder_lines import fit_line, loss_lines, worth_lines
from harness.analyse.ladder_text import (
    factor,
    fit_text,
    headline,
    headlines,
    range_text,
    rank_text,
    sentences,
    told_apart,
    trend_text,
)
from harness.analyse.looks import compare_study
from harness.analyse.scaling import Multiplier
from harness.analyse.schedules import Agreement, agreements, savings
from harness.analyse.tables import setup_card
from harness.analyse.text import count, interval, number, p_text, plain, signed
from harness.records.ladder import RUNGS, LadderRecord, Rung
from harness.records.registration import digest_of
from harness.reporting.figures.ladder import ladder_plot, worth_plot
from harness.reporting.files import write_page
from harness.reporting.page import Page, VerdictText, command_text
from harness.reporting.section import Drawing, Grid, Section
from harness.reporting.sections.registration import registration_grid

KINDS = {"saves compute": "better", "costs compute": "worse", "not told apart from 1": "inconclusive"}

UNITS = ("FLOPs", "tokens", "seconds")


def write_ladder_report(folder: Path, ladder: LadderRecord, rungs: Sequence[Rung]) -> Path:
    """Write report.html, report.md and the figures; returns the path of report.html.

    Raises:
        StoreError: the disk refuses.
    """
    return write_page(folder, ladder_page(ladder, rungs))


def ladder_page(ladder: LadderRecord, rungs: Sequence[Rung]) -> Page:
    """The page of a ladder."""
    found = climbs(rungs)
    sections = [
        _losses(rungs),
        _worth(found),
        _scale(found),
        _ranks(rungs),
        _trunk(ladder, rungs),
        _rungs(rungs),
        _registration(ladder, rungs),
    ]
    runs = [run for rung in rungs for run in rung.runs]
    return Page(
        headline=headlines(found, len(rungs)),
        study=ladder.name,
        created=ladder.created,
        summary=f"{count(len(rungs), 'rung')}, {count(len(runs), 'run')}, {sum(run.reused for run in runs)} reused",
        verdicts=[_verdict(c) for c in found],
        forest=_worth_figure(found, ladder.baseline),
        setup=_setup(ladder, rungs),
        sections=[section for section in sections if section is not None],
        notes=_method(ladder),
        command=command_text(ladder.command),
    )


def _verdict(c: Climb) -> VerdictText:
    if c.reason:
        return VerdictText("none", f"{c.arm}: no compute multiplier", "no multiplier", "", f"{headline(c)}.")
    last = c.worth["FLOPs"][-1]
    means = f"{c.baseline} {number(float(c.before[:, -1].mean()))} → {c.arm} {number(float(c.after[:, -1].mean()))}"
    word = told_apart(last) if last.multiplier is not None else "no compute multiplier"
    return VerdictText(
        kind=KINDS.get(word, "none"),
        words=f"{c.arm}: {word}",
        numbers=f"{factor(last.multiplier)} times the compute of {c.baseline}, 95 % interval {range_text(last)}",
        means=f"{means} nats per byte at {c.labels[-1]}, {count(len(c.seeds), 'paired seed')}",
        reason=" ".join(sentences(c)[1 if last.multiplier is not None else 0 :]),
    )


def _worth_figure(found: Sequence[Climb], baseline: str) -> Drawing | None:
    lines = worth_lines(found)
    if not lines:
        return None
    alt = "Compute multiplier of each arm against training FLOPs, with 95 % intervals; the numbers are in the table"
    caption = (
        "How many times the arm's compute the baseline needs for the arm's loss; above 1 the arm saves compute. Marks "
        "are rungs with 95 % intervals over seeds, the line and its band lie between them."
    )
    return Drawing("worth", worth_plot(lines, baseline), alt, caption)


def _losses(rungs: Sequence[Rung]) -> Section | None:
    lines, fit = loss_lines(rungs), baseline_fit(rungs)
    if not lines:
        return None
    alt = "Validation loss at the end of each run against its training FLOPs, a line an arm"
    caption = (
        "Every mark is the mean of runs that were annealed at that budget, with the 95 % Student band over seeds; the "
        "dotted line is the baseline's law with its band."
    )
    drawing = Drawing("ladder", ladder_plot(lines, fit_line(fit)), alt, caption)
    return Section("Loss against compute", (fit_text(fit, len(rungs)),), drawings=(drawing,))


def _worth(found: Sequence[Climb]) -> Section | None:
    columns = (
        "arm",
        "rung",
        "training FLOPs",
        "difference in loss",
        *(f"worth in {u}" for u in UNITS),
        "how",
        "reason",
    )
    rows = [
        (
            c.arm,
            label,
            f"{c.spent[k]:.3e}",
            signed(c.differences[k]),
            *(_multiplier(c.worth[unit][k]) if unit in c.worth else "n/a" for unit in UNITS),
            c.worth["FLOPs"][k].method,
            c.worth["FLOPs"][k].reason,
        )
        for c in found
        if not c.reason
        for k, label in enumerate(c.labels)
    ]
    note = (
        "How many times what the arm took the baseline needs of it to reach the arm's loss, with 95 % intervals over "
        "whole seeds; each arm by itself, not corrected for their number. Seconds are training time at the measured "
        "speed, and their interval holds the speed's too."
    )
    absent = tuple(f"{c.arm} in {unit}: {why}." for c in found for unit, why in c.absent.items())
    return Section("What it is worth", absent, (Grid(columns, rows, note),)) if rows else None


def _multiplier(m: Multiplier) -> str:
    return factor(m.multiplier) if m.ci95 is None else f"{factor(m.multiplier)}\n{range_text(m)}"


def _scale(found: Sequence[Climb]) -> Section | None:
    columns = ("arm", "worth, a doubling", "95 % interval", "difference, a doubling", "95 % interval ", "p", "reason")
    rows = []
    for c in found:
        if c.reason:
            continue
        trend, slope, ln2 = c.trend, c.slope, math.log(2)
        rows.append(
            (
                c.arm,
                "n/a" if trend is None else f"times {number(trend.per_doubling, 3)}",
                "n/a" if trend is None or trend.ci95 is None else " to ".join(number(end, 3) for end in trend.ci95),
                "n/a" if slope is None else signed(slope.slope * ln2),
                "n/a" if slope is None else interval((slope.ci95[0] * ln2, slope.ci95[1] * ln2)),
                "n/a" if slope is None else p_text(slope.p),
                trend_text(c),
            )
        )
    note = (
        "A gap in loss narrows along every curve that flattens, so a gain is said to fade where its worth in compute "
        "falls. Slopes are of arm x log compute, seeds as blocks."
    )
    return Section("Does it hold with scale?", grids=(Grid(columns, rows, note),)) if rows else None


def _ranks(rungs: Sequence[Rung]) -> Section | None:
    if len(rungs[0].study.arms) < 3:
        return None
    notes = tuple(f"{rank_text(change)}." for change in ranks(rungs))
    return Section("Do arms rank alike at every rung?", notes)


def _trunk(ladder: LadderRecord, rungs: Sequence[Rung]) -> Section | None:
    if not ladder.trunk:
        return None
    saved = [
        (s.arm, f"{s.alone:.3e}", f"{s.trunk:.3e}", f"{s.share:.1%}", ", ".join(f"{step:,}" for step in s.leaves))
        for s in savings([rung.study for rung in rungs])
    ]
    cost = Grid(
        ("arm", "each run alone", "trunk and branches", "saved", "branches leave at step"),
        saved,
        "Training FLOPs of one seed over all rungs. A run's own record names its trunk, and its "
        "seconds count the trunk each time.",
        "What the trunk saves",
    )
    both = agreements(rungs)
    if not both:
        said = (
            "Runs annealed on their own are not known at these budgets: run the same command without --schedule wsd, "
            "and then this one again, to see whether the two agree."
        )
        return Section("Trunk and branches", (said,), (cost,))
    columns = ("rung", "arm", "seeds", "loss, branch - alone", "difference from baseline, branch - alone")
    rows = [(a.label, a.arm, str(a.num_seeds), _agreed(a.losses), _agreed(a.difference)) for a in both]
    note = (
        "Branches decay as 1 - sqrt, runs of their own along a cosine: losses may differ, a fair comparison needs only "
        "the last column near zero. 95 % paired t intervals over seeds."
    )
    return Section(
        "Trunk and branches",
        (_agreement_text(both, rungs[0].study.margin),),
        (cost, Grid(columns, rows, note, "Do they agree?")),
    )


def _agreed(value: tuple[float, tuple[float, float] | None] | None) -> str:
    return "" if value is None else f"{signed(value[0])} {interval(value[1])}"


def _agreement_text(both: Sequence[Agreement], margin: float) -> str:
    judged = [a.difference[1] for a in both if a.difference is not None and a.difference[1] is not None]
    apart = sum(not ci[0] <= 0 <= ci[1] for ci in judged)
    within = sum(-margin < ci[0] and ci[1] < margin for ci in judged)
    return (
        f"Of {count(len(judged), 'comparison')} with the baseline that are known both ways, {apart} differ between "
        f"branches and runs of their own at 95 %, each by itself, and {within} are shown to agree within "
        f"{plain(margin)} nats per byte."
    )


def _rungs(rungs: Sequence[Rung]) -> Section:
    columns = ("rung", "arm", "training FLOPs", "steps", "tokens", "mismatch", "verdict", "reason")
    rows = []
    for rung in rungs:
        words = {c.arm: c for c in compare_study(rung.study, list(rung.runs))}
        for arm in rung.study.arms:
            own, c = arm_of(rung, arm.name), words.get(arm.name)
            rows.append(
                (
                    rung.label,
                    arm.name,
                    f"{own.training_flops:.4e}",
                    f"{own.num_steps:,}",
                    f"{own.num_tokens:,}",
                    f"{own.mismatch:+.2%}",
                    "" if c is None else c.verdict or "none",
                    "" if c is None else f"{signed(c.mean_difference)} {interval(c.ci95)}; {c.reason}",
                )
            )
    places = "; ".join(f"{rung.label}: {RUNGS}/{rung.study.name}/report.html" for rung in rungs)
    return Section("The rungs", (f"Each is a study with a report of its own. {places}.",), (Grid(columns, rows),))


def _registration(ladder: LadderRecord, rungs: Sequence[Rung]) -> Section:
    found = [f"Rung {rung.label}: {said}" for rung in rungs for said in deviations(rung.study, rung.runs)]
    if digest_of(ladder.registration) != ladder.registration.get("sha256"):
        found.insert(0, "The ladder's registration does not match its own digest: it was changed after it was written.")
    notes = tuple(found) or ("Everything went as it was registered.",)
    return Section("Registration and deviations", notes, (registration_grid(ladder.registration, "ladder.json"),))


def _setup(ladder: LadderRecord, rungs: Sequence[Rung]) -> list[tuple[str, str]]:
    card = dict(setup_card(rungs[-1].study, rungs[-1].runs))
    kept = ("matched by", "margin of equivalence", "seeds", "data", "recipe, the same for all arms", "environment")
    return [
        ("question", f"{count(len(ladder.arms), 'arm')} against {ladder.baseline}, over {count(len(rungs), 'rung')}"),
        ("rungs", ", ".join(rung.label for rung in rungs)),
        ("budgets", ladder.rule),
        ("schedule", str(ladder.registration.get("schedule", "each run annealed at its own budget"))),
        *((name, card[name]) for name in kept),
    ]


def _method(ladder: LadderRecord) -> list[str]:
    return [
        "The compute multiplier CM(C) = L_b^-1(L_v(C)) / C is the factor of an arm's compute C that the baseline needs "
        "for the arm's loss. L_b is the law E + A C^-alpha fitted to the baseline's rungs (Hoffmann et al. 2022, "
        "approach 3: Huber's loss on log loss), with fewer than 4 rungs a line in log C between the two rungs around "
        "the loss. No number is given where the baseline would need more than twice, or less than half, of what the "
        "ladder spans.",
        "Every point is the end of a run annealed at that budget; no loss is taken from the middle of a schedule. "
        "Intervals are over whole seeds, which keep or leave all their rungs together: the jackknife with Student's t "
        "below 20 seeds, percentiles of a bootstrap from there. They cover the seeds, not the form of the law, other "
        "data or larger scales.",
        *(
            [
                "All rungs of an arm and seed are branches of one trunk: warm-up, a stable rate, a decay as 1 - sqrt "
                "over the last fifth (Hagele et al. 2024, arXiv:2405.18392). A branch has the bits of the run that was "
                "never branched."
            ]
            if ladder.trunk
            else []
        ),
    ]
