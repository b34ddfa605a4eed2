"""A report as text in its order, before it is Markdown or HTML: both show the same page, and neither adds a number."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from harness.analyse import tables
from harness.analyse.comparison import Comparison
from harness.analyse.curves import MOST_ARMS, curves
from harness.analyse.design_effects import effects_headline
from harness.analyse.forest import forest
from harness.analyse.noise import aa_band
from harness.analyse.outcomes import Outcomes
from harness.analyse.scores import PRIMARY, SCORES
from harness.analyse.screening import fresh_seeds, judged_part
from harness.analyse.sentences import difference_text, headline, method_notes, verdict_words
from harness.analyse.text import interval, listing, number, p_text, probability, signed
from harness.records.record import ArmRecord, StudyRecord, StudyRun
from harness.reporting.cells import lines
from harness.reporting.figures.curves import loss_curves
from harness.reporting.figures.forest import forest_plot
from harness.reporting.figures.slopes import MOST_SEEDS, slope_plot
from harness.reporting.section import Drawing, Grid, Material, Section
from harness.reporting.sections import DESIGN_SECTIONS, SECTIONS, WHOLE_SECTIONS, noise, regimes

MOST_SLOPES = 8
"""Arms in the figure of seeds; the table has all."""


@dataclass(frozen=True)
class VerdictText:
    """One arm's answer. `kind` names its colour."""

    kind: str
    words: str
    means: str
    numbers: str
    reason: str


@dataclass(frozen=True)
class Page:
    """A whole report. `forest` is the headline figure, None when there is nothing to compare."""

    headline: str
    study: str
    created: str
    summary: str
    verdicts: list[VerdictText]
    forest: Drawing | None
    setup: list[tuple[str, str]]
    sections: list[Section]
    notes: list[str]
    command: str

    @property
    def drawings(self) -> list[Drawing]:
        """Every figure, in the order of the page."""
        inside = [drawing for section in self.sections for drawing in section.drawings]
        return inside if self.forest is None else [self.forest, *inside]


def page(material: Material) -> Page:
    """The page of a study. A section that has nothing to show is left out."""
    study, runs, comparisons = material.study, material.runs, material.comparisons
    judged = _judged(material)
    sections = [
        *(show(material) for show in DESIGN_SECTIONS),
        _arms(material),
        _differences(material),
        _results(judged.study, judged.runs, judged.comparisons),
        *(show(judged) for show in SECTIONS),
        *(show(material) for show in WHOLE_SECTIONS),
        _seeds(study, runs, judged.comparisons),
        _unfinished(runs),
        _training_loss(study, runs),
    ]
    return Page(
        headline=page_headline(material),
        study=study.name,
        created=study.created,
        summary=tables.summary(study, runs),
        verdicts=[verdict_text(c) for c in comparisons],
        forest=_forest(material),
        setup=tables.setup_card(study, runs),
        sections=[section for section in sections if section is not None],
        notes=method_notes(study, comparisons),
        command=command_text(study.command),
    )


def command_text(argv: Sequence[str], program: str = "harness.ablate") -> str:
    """What a shell is given to run a command again, from its arguments or all of it."""
    return shlex.join(argv if list(argv[:1]) == ["python"] else ["python", "-m", program, *argv])


def page_headline(material: Material) -> str:
    """The answer of a study in one line."""
    effects = effects_headline(material.study, material.runs)
    return regimes.headline(material) or effects + headline(material.study, material.comparisons)


def _judged(material: Material) -> Material:
    """What the scores are shown of: where a study screens, the arms that went on and their fresh seeds alone."""
    study, runs = judged_part(material.study, material.runs)
    names = {arm.name for arm in study.arms}
    comparisons = [c for c in material.comparisons if c.arm in names]
    return dataclasses.replace(material, study=study, runs=runs, comparisons=comparisons)


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]], note: str = "") -> Section | None:
    return Section(title, grids=(Grid(columns, rows, note),)) if rows else None


def _forest(material: Material) -> Drawing | None:
    band = aa_band(material.calibration, len(fresh_seeds(material.study)))
    data = forest(material.comparisons, None if band is None else band.half)
    if data is None:
        return None
    alt = "Differences from the baseline with 95 % intervals; the numbers are in the table below"
    caption = "The blue band is the margin of equivalence. An arrow at the edge: the interval goes on beyond it."
    caption += f" Hatched: {floor}" if (floor := noise.noise_floor(material)) else ""
    if data.left_out:
        caption += f" Drawn are the worst and the best; the {data.left_out:,} arms between them are in the table."
    return Drawing("forest", forest_plot(data), alt, caption)


def _training_loss(study: StudyRecord, runs: Sequence[StudyRun]) -> Section:
    caption = (
        "Thick: the mean of an arm's finished runs, in a band from the lowest to the highest of them. Thin: a run that "
        "did not finish. The baseline is in the colour of the text. Each run is annealed to its own last step. Right, "
        "where it was recorded: the means against the wall clock, with every step taken to last alike; runs share "
        "their machine, so this is what training took and no measurement of speed."
    )
    alt = "Training loss against training FLOPs and against seconds, a line an arm"
    if len(study.arms) > MOST_ARMS:
        caption += f" Drawn are the first {MOST_ARMS} arms."
    return Section("Training loss", drawings=(Drawing("curves", loss_curves(curves(study, runs)), alt, caption),))


def verdict_text(c: Comparison) -> VerdictText:
    """The answer for one arm, in words and numbers."""
    means = f"{c.baseline} {number(c.baseline_mean)} → {c.arm} {number(c.arm_mean)}"
    named = c.reason.startswith((c.arm, c.baseline))  # a name keeps its case
    return VerdictText(
        kind=c.verdict or "none",
        words=verdict_words(c),
        means=f"{means} {c.unit}" if c.num_seeds else "",
        numbers=difference_text(c),
        reason=f"{c.reason if named else c.reason[:1].upper() + c.reason[1:]}.",
    )


def _arms(material: Material) -> Section | None:
    study, tuned = material.study, material.tuned
    own = {arm.name: arm for arm in tuned.study.arms} if tuned else {}
    columns = (
        "arm",
        "parameters",
        "active",
        "non-embedding, embedding",
        "FLOPs per token, hardware",
        "steps",
        "tokens",
        "training FLOPs",
        "peak learning rate, tuned" if tuned else "peak learning rate",
    )
    rows = [
        (
            row.arm.name,
            *(_whole(row.arm.num_params.get(name)) for name in ("total", "active")),
            lines(_whole(row.arm.num_params.get("non_embedding")), _whole(row.num_embedding)),
            lines(f"{row.arm.training_flops_per_token:.4e}", _flops(row.arm.hardware_flops_per_token)),
            _whole(row.arm.num_steps),
            _whole(row.arm.num_tokens),
            f"{row.arm.training_flops:.4e}",
            lines(_rate(study, row.arm), *([_rate(tuned.study, own.get(row.arm.name))] if tuned else [])),
            f"{row.arm.mismatch:+.2%}",
            "n/a" if row.more_params is None else f"{row.more_params:+.2%}",
        )
        for row in tables.arm_rows(study)
    ]
    note = (
        f"Mismatch is of the matched quantity ({study.match}), against {study.baseline}. FLOPs are of training: model "
        "FLOPs, which are matched, count the scores that attention may use; hardware FLOPs the masked ones too. "
        "Embedding: tables of tokens and positions."
    )
    return _table("Arms", (*columns, "mismatch", "parameters, against baseline"), rows, note)


def _rate(study: StudyRecord, arm: ArmRecord | None) -> str:
    """The peak learning rate an arm was trained with; n/a where a study has none."""
    rate = None if arm is None else arm.recipe.get("lr", study.recipe.get("lr"))
    return "n/a" if rate is None else f"{rate:g}"


def _differences(material: Material) -> Section | None:
    comparisons = material.comparisons
    other = {c.arm: c.baseline for c in comparisons} if len({c.baseline for c in comparisons}) > 1 else {}
    against = ("against",) if other else ()
    columns = ("arm", *against, "verdict", "difference", "95 % interval", "pairs", "p", "p equivalence", "P(better)")
    rows = [
        (
            c.arm,
            *([other[c.arm]] if other else []),
            c.verdict or "none",
            signed(c.mean_difference),
            interval(c.ci95),
            str(c.num_seeds),
            p_text(c.p_adjusted),
            p_text(c.p_equivalence_adjusted),
            probability(c.probability_better),
            number(c.smallest_effect),
            signed(c.effect_size, 2),
            signed(c.correlation, 2),
        )
        for c in tables.worst_first(comparisons)
    ]
    unit, floor = f" in {comparisons[0].unit}" if comparisons else "", noise.noise_floor(material)
    note = (
        f"Arm minus baseline{unit}, worst first; p-values after correction: {_corrections(comparisons)}. The pairing "
        "correlation is that of the two arms over seeds; near zero, pairing gained nothing."
        f"{' ' if floor else ''}{floor}"
    )
    more = ("smallest effect", "Hedges g", "pairing correlation")
    return _table("Differences", (*columns, *more), rows, note)


def _corrections(comparisons: Sequence[Comparison]) -> str:
    used = [c.correction for c in comparisons if c.p_adjusted is not None] or [c.correction for c in comparisons]
    return listing(dict.fromkeys(used)) if used else "none"


def _results(study: StudyRecord, runs: Sequence[StudyRun], comparisons: Sequence[Comparison]) -> Section | None:
    columns = ("arm", "runs finished", *(f"{s.title}, {s.unit}" for s in SCORES.values()))
    rows = [
        (
            row.arm,
            f"{row.num_finished} of {row.num_planned}",
            *(_spread(row.scores[score.name], row.num_finished, score.decimals) for score in SCORES.values()),
        )
        for row in tables.result_rows(study, runs, comparisons)
    ]
    tokenizer = study.data.get("tokenizer", "of the study")
    note = f"Mean ± standard deviation over all seeds an arm finished. Perplexity is that of the tokenizer {tokenizer}."
    return _table("Results", columns, rows, note)


def _seeds(study: StudyRecord, runs: Sequence[StudyRun], comparisons: Sequence[Comparison]) -> Section:
    rows = [(row.arm, *(_outcome(row, seed) for seed in study.seeds)) for row in tables.seed_rows(study, runs)]
    columns = ("arm", *(f"seed {seed}" for seed in study.seeds))
    note = f"{SCORES[PRIMARY].title}, {SCORES[PRIMARY].unit}.".capitalize()
    return Section("Every seed", grids=(Grid(columns, rows, note),), drawings=_slopes(comparisons))


def _slopes(comparisons: Sequence[Comparison]) -> tuple[Drawing, ...]:
    paired = [c for c in tables.worst_first(comparisons) if len(c.pairs) > 1]
    if not paired:
        return ()
    left = f" The first {MOST_SLOPES} of {len(paired)} arms, worst first." if len(paired) > MOST_SLOPES else ""
    if any(len(c.pairs) > MOST_SEEDS for c in paired[:MOST_SLOPES]):
        left += f" The first {MOST_SEEDS} seeds."
    caption = f"Each seed from what an arm is compared with to the arm, in the colour of its verdict.{left}"
    alt = "A line a seed from the other arm's loss to the arm's; the numbers are in the table above"
    return (Drawing("slopes", slope_plot(paired[:MOST_SLOPES]), alt, caption),)


def _unfinished(runs: Sequence[StudyRun]) -> Section | None:
    rows = [(row.arm, str(row.seed), row.status, row.reason) for row in tables.unfinished_rows(runs)]
    return _table("Runs that did not finish", ("arm", "seed", "status", "reason"), rows)


def _outcome(row: Outcomes, seed: int) -> str:
    return number(row.values[seed], SCORES[PRIMARY].decimals) if seed in row.values else row.lacking[seed]


def _spread(spread: tables.Spread | None, num_finished: int, decimals: int) -> str:
    if spread is None:
        return "n/a"
    sd = "" if spread.sd is None else f" ± {number(spread.sd, decimals)}"
    return f"{number(spread.mean, decimals)}{sd}" + ("" if spread.n == num_finished else f" ({spread.n} runs)")


def _flops(value: float | None) -> str:
    return "" if value is None else f"{value:.4e}"


def _whole(count: int | None) -> str:
    return "n/a" if count is None else f"{count:,}"
