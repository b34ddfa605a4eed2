"""What a reviewer asks of any study (definitions: pre-flight checks and threats), answered from its records.

An answer that the records cannot give says what would; nothing here changes a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analyse.comparison import Comparison
from harness.analyse.deviations import deviations
from harness.analyse.family import family_of
from harness.analyse.screening import screening_seeds
from harness.analyse.text import count, listing, plain, seeds
from harness.analyse.tuning import sensitivities
from harness.records.calibration import CalibrationRecord
from harness.records.record import StudyRecord, StudyRun
from harness.records.tuning import TuningRecord

CHINCHILLA = 20
"""Tokens a parameter at which a budget's loss is lowest, about (Hoffmann et al. 2022, arXiv:2203.15556)."""

MOST_NAMES = 4
"""Arms named before the rest are counted."""


@dataclass(frozen=True)
class Answer:
    """`word` is yes, no, or what there is in between; `told` the sentence behind it."""

    question: str
    word: str
    told: str


def answers(
    study: StudyRecord,
    runs: Sequence[StudyRun],
    comparisons: Sequence[Comparison],
    calibration: CalibrationRecord | None,
    tuning: TuningRecord | None,
) -> list[Answer]:
    """One a question, in the order of a review."""
    return [
        _registered(study, runs),
        _aa(calibration),
        _finished(study, runs),
        _same_text(runs),
        _learning_rates(study, tuning),
        _selection(study, comparisons),
        _step(study),
    ]


def _registered(study: StudyRecord, runs: Sequence[StudyRun]) -> Answer:
    question, found = "Decided before the first run, and kept to?", deviations(study, runs)
    if not found:
        return Answer(question, "yes", "Everything went as it was registered.")
    return Answer(question, "no", f"{count(len(found), 'deviation')}, listed under Registration and deviations.")


def _aa(record: CalibrationRecord | None) -> Answer:
    question = "Silent where nothing differs (A/A), and heard where something does?"
    if record is None or not record.pipeline:
        return Answer(
            question, "not known", "No calibration of this scale is stored; Noise at this scale has the command."
        )
    errs, planted = record.pipeline, bool(record.planted["found"])
    told = f"{errs['wrong']} of {errs['studies']} A/A studies of {errs['pairs']} pairs were called better or worse"
    within = errs["disjoint_wilson95"][0] <= 0.05
    word = "yes" if within and planted else "no"
    return Answer(question, word, f"{told}; the planted effect was {'' if planted else 'not '}found.")


def _finished(study: StudyRecord, runs: Sequence[StudyRun]) -> Answer:
    question, broken = "Every planned run finished?", [r for r in runs if r.record.status != "finished"]
    if broken:
        arms = list(dict.fromkeys(run.arm for run in broken))
        return Answer(question, "no", f"{count(len(broken), 'run')} did not, of {_names(arms)}.")
    return Answer(
        question, "yes" if runs else "not yet", f"{count(len(runs), 'run')} of {count(len(study.arms), 'arm')}."
    )


def _same_text(runs: Sequence[StudyRun]) -> Answer:
    question = "The same validation text for all?"
    read = {(len(r.record.documents), sum(d[2] for d in r.record.documents)) for r in runs if r.record.documents}
    if len(read) != 1:
        return Answer(question, "no" if read else "not known", f"{count(len(read), 'set')} of documents were scored.")
    ((documents, size),) = read
    told = f"{count(documents, 'document')}, {size:,.0f} bytes, each read whole, once a run, after its last step"
    return Answer(
        question, "yes", f"{told}. The losses are of the validation split; the test split is in none of them."
    )


def _learning_rates(study: StudyRecord, tuning: TuningRecord | None) -> Answer:
    question = "The best learning rate inside the range tried, for every arm?"
    if tuning is None:
        rate = study.recipe.get("lr")
        shared = "the same learning rate" if rate is None else f"the learning rate {plain(rate)}"
        told = f"Every arm had {shared}, chosen for a baseline; --tune lr gives each its own, and shows the curves."
        return Answer(question, "not tuned", told)
    found = sensitivities(tuning, study.margin)
    edge = [s.arm for s in found if s.curve.edge or s.chosen is None]
    if edge:
        return Answer(question, "no", f"Not of {_names(edge)}: Fair tuning has the curves.")
    return Answer(question, "yes", f"Of all {len(found)}: Fair tuning has the curves.")


def _selection(study: StudyRecord, comparisons: Sequence[Comparison]) -> Answer:
    question = "The winner judged on seeds that did not choose it?"
    if screening_seeds(study):
        return Answer(question, "yes", f"{seeds(screening_seeds(study)).capitalize()} chose, the others judged.")
    if len(comparisons) < 2:
        return Answer(question, "yes", "One comparison at most was planned, so nothing was chosen.")
    if family_of(study) == "explore":
        return Answer(question, "no", "The study explores: what it names is to be confirmed on fresh seeds.")
    told = (
        f"The level is shared by {len(comparisons)} comparisons, so words keep their error; the estimate of the best "
        "is too good on average, and that of a study of it alone on fresh seeds, or with --screen, is not."
    )
    return Answer(question, "no", told)


def _step(study: StudyRecord) -> Answer:
    question, env = "Baseline and variant trained by the same code path?", study.environment
    step = f" ({env['step']} steps)" if env.get("step") else ""
    told = (
        f"One trainer that knows no variant, one recipe, one device{step}. How mature each arm's kernels are shows in "
        "Speed and memory, where it was measured."
    )
    return Answer(question, "yes", told)


def threats(study: StudyRecord) -> list[str]:
    """What the intervals do not cover, with this study's own numbers."""
    (baseline,) = (arm for arm in study.arms if arm.name == study.baseline)
    size = baseline.num_params.get("non_embedding") or baseline.num_params.get("total")
    data, found = study.data, []
    found.append(
        f"One text ({data.get('name', 'unknown')}), one tokenizer ({data.get('tokenizer', 'unknown')}), one size and "
        f"one budget ({study.budget:.2e} training FLOPs): words hold there, and for nothing larger until measured."
    )
    if size:
        ratio = baseline.num_tokens / size
        told = f"{study.baseline} read {ratio:,.3g} tokens a parameter, embeddings left out"
        found.append(f"{told}; about {CHINCHILLA} is where a budget is spent best (Hoffmann et al. 2022).")
    if data.get("train_tokens"):
        epochs = baseline.num_tokens / data["train_tokens"]
        found.append(f"It saw {epochs:.2g} times its training text{': text was repeated' if epochs > 1 else ''}.")
    found.append(
        "Absolute published losses and perplexities are not comparable with these: theirs are of other texts, "
        "tokenizers and objectives. What can be compared is the direction and the size of a difference."
    )
    return found


def _names(arms: Sequence[str]) -> str:
    if len(arms) <= MOST_NAMES:
        return listing(arms)
    return f"{', '.join(arms[:MOST_NAMES])} and {len(arms) - MOST_NAMES} more"
