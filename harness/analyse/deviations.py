"""Where a study did not go as it was registered. A reader must know each before believing the verdict."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from harness.analyse.looks import due
from harness.analyse.outcomes import by_arm
from harness.analyse.scores import PRIMARY
from harness.analyse.text import count, listing, seeds
from harness.records.record import StudyRecord, StudyRun
from harness.records.registration import digest_of

SAME = 1e-9
"""Relative, of sums over documents that were added in another order."""


def deviations(study: StudyRecord, runs: Sequence[StudyRun]) -> list[str]:
    """One sentence each; empty when everything went as registered."""
    return [*_registration(study), *_runs(study, runs), *_arms(study, runs), *_code(runs), *_scores(study, runs)]


def _registration(study: StudyRecord) -> list[str]:
    told = study.registration
    if not told:
        return ["This study has no registration: what it set out to show was not written down before its runs."]
    found = []
    if digest_of(told) != told.get("sha256"):
        found.append("The registration does not match its own digest: it was changed after it was written.")
    if told["margin"] != study.margin or told["seeds"] != list(study.seeds):
        found.append("The margin or the seeds of the study are not those that were registered.")
    if digest_of(study.design) != told.get("design_sha256", digest_of({})):
        found.append("The design of the study is not the one that was registered.")
    return found


def _runs(study: StudyRecord, runs: Sequence[StudyRun]) -> list[str]:
    found = []
    missing = len(set(due(study, runs)) - {(run.arm, run.seed) for run in runs})
    if missing:
        found.append(f"{count(missing, 'planned run')} {'is' if missing == 1 else 'are'} missing.")
    for status in ("diverged", "failed"):
        ended = Counter(run.arm for run in runs if run.record.status == status)
        if ended:
            said = listing(f"{n} of {arm}" for arm, n in ended.items())
            found.append(f"Runs that {status} and are not replaced: {said}.")
    before = [run for run in runs if run.record.created and run.record.created < study.created]
    if before:
        arms = Counter(run.arm for run in before)
        said = listing(f"{n} of {arm}" for arm, n in arms.items())
        found.append(
            f"{count(len(before), 'run')} had been trained before this was registered, by an earlier study ({said}, "
            f"{seeds(sorted({run.seed for run in before}))}): their results may have been known."
        )
    return found


def _arms(study: StudyRecord, runs: Sequence[StudyRun]) -> list[str]:
    """Runs that are not what their place in the study says, or whose loss is not that of their documents: a record that
    was edited and sealed again.
    """
    told = {arm.name: {"spec": arm.spec, "num_steps": arm.num_steps} for arm in study.arms}
    found = []
    for what, wrong in (
        ("trained as another arm than they stand for", lambda run: _another(run, told[run.arm])),
        ("a loss that is not that of their documents", lambda run: not _adds_up(run)),
    ):
        names = Counter(run.arm for run in runs if wrong(run))
        if names:
            verb = "were" if what.startswith("trained") else "have"
            found.append(f"Runs that {verb} {what}: {listing(f'{n} of {arm}' for arm, n in names.items())}.")
    return found


def _another(run: StudyRun, told: dict[str, Any]) -> bool:
    identity = run.record.identity
    seed = identity.get("seed")
    initial = seed.get("initial") if isinstance(seed, dict) else seed
    return any(identity.get(k, v) != v for k, v in told.items()) or initial not in (None, run.seed)


def _adds_up(run: StudyRun) -> bool:
    """Whether nats per byte are the documents' nats over their bytes (score/perplexity.py)."""
    value, documents = run.record.scores.get(PRIMARY), run.record.documents
    num_bytes = sum(row[2] for row in documents)
    if value is None or not num_bytes:
        return True
    return math.isclose(value, sum(row[0] for row in documents) / num_bytes, rel_tol=SAME)


def _code(runs: Sequence[StudyRun]) -> list[str]:
    """Things that should be one for all runs of an arm."""
    found = []
    for key, what in (("torch", "versions of torch"), ("device", "kinds of device")):
        values = {str(run.record.identity[key]) for run in runs if key in run.record.identity}
        if len(values) > 1:
            found.append(f"The runs have different {what}: {listing(sorted(values))}.")
    for arm, mine in by_arm(runs).items():
        codes = {run.record.identity["code"] for run in mine if "code" in run.record.identity}
        if len(codes) > 1:
            found.append(f"The runs of {arm} were trained by {len(codes)} versions of the code.")
    return found


def _scores(study: StudyRecord, runs: Sequence[StudyRun]) -> list[str]:
    failed = Counter(score.name for run in runs for score in run.scores if score.status == "failed")
    found = [f"The score {name} failed on {count(n, 'run')}." for name, n in failed.items()]
    registered = {name.split()[0] for name in study.registration.get("secondary", [])}
    added = sorted({score.name for run in runs for score in run.scores} - registered)
    if added and study.registration:
        found.append(f"Scores that were added after the registration: {listing(added)}.")
    return found
