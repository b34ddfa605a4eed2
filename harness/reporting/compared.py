"""The report of two studies, A and B: what differs in how they were done, and whether their answers differ."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

from harness.analyse.comparison import Comparison
from harness.analyse.forest import forest
from harness.analyse.levels import level
from harness.analyse.scores import PRIMARY, SCORES
from harness.analyse.sentences import headline
from harness.analyse.text import count, interval, p_text, signed
from harness.analyse.two_studies import (
    Contrast,
    SharedArm,
    SharedLevel,
    differences,
    pairing,
    same_runs,
    shared_arms,
    shared_levels,
)
from harness.reporting.cells import NOT_AVAILABLE, level_text, lines
from harness.reporting.figures.forest import forest_plot
from harness.reporting.files import write_page
from harness.reporting.material import read_material
from harness.reporting.page import Page
from harness.reporting.section import Drawing, Grid, Material, Section

FOLDER = "compared"
"""Beside the first study."""

MOST_LETTERS = 80
"""Of each study's name in the folder's; its end is kept, which holds its digest."""


def compare_folders(first: Path, second: Path) -> tuple[Page, Path]:
    """Write the report of two studies beside the first; gives its page and the path of report.html.

    Raises:
        UserError: a folder is not a study's, or a file in it is cut short, damaged or of another version.
        StoreError: the disk refuses.
    """
    one, two = first.resolve(), second.resolve()
    command = shlex.join(["python", "-m", "harness.report", str(first), str(second)])
    page = compared_page(read_material(first), read_material(second), command)
    folder = one.parent / FOLDER / f"{one.name[-MOST_LETTERS:]}--{two.name[-MOST_LETTERS:]}"
    return page, write_page(folder, page)


def compared_page(a: Material, b: Material, command: str) -> Page:
    """The page of two studies."""
    paired = pairing(a.study, b.study)
    arms = shared_arms(a.comparisons, b.comparisons, paired.by_seed, same_runs(a.runs, b.runs))
    levels = shared_levels((a.study, a.runs), (b.study, b.runs), paired.by_seed)
    return Page(
        headline=compared_headline(arms, a, b),
        study=f"A: {a.study.name}, B: {b.study.name}",
        created=max(a.study.created, b.study.created),
        summary=f"{count(len(a.runs), 'run')} and {count(len(b.runs), 'run')}",
        verdicts=[],
        forest=_forest(arms),
        setup=[
            ("A", f"{a.study.name}, {a.study.created}: {headline(a.study, a.comparisons)}"),
            ("B", f"{b.study.name}, {b.study.created}: {headline(b.study, b.comparisons)}"),
            ("how they are compared", paired.why),
        ],
        sections=[_arms(arms, a, b), _setups(a, b), _levels(levels)],
        notes=[
            "The verdicts are each study's own. What is said of the two together is exploratory: no test here was "
            "registered, and intervals are not corrected for how many there are.",
            "Where Welch's test is used on some seeds that are the same, what these share makes the interval too wide "
            "rather than too narrow, as long as it moves both studies the same way.",
        ],
        command=command,
    )


def compared_headline(arms: Sequence[SharedArm], a: Material, b: Material) -> str:
    """How many of the shared arms have the same verdict, and of how many the change is told from none; of one arm, both
    verdicts.
    """
    if not arms:
        return f"{a.study.name} and {b.study.name} share no comparison"
    if len(arms) == 1:
        return _both(arms[0])
    alike = sum(arm.first.verdict == arm.second.verdict for arm in arms)
    differ = sum(f is not None and not f.ci[0] <= 0 <= f.ci[1] for f in (arm.change.found for arm in arms))
    return (
        f"{count(len(arms), 'shared comparison')}: the same verdict in {alike}, a difference between the studies that "
        f"leaves out zero in {differ}"
    )


def _both(arm: SharedArm) -> str:
    """`norm=rms against gpt2: equivalent in A, better in B; how much more it changes in B leaves out zero`."""
    words = [f"{_verdict(c)} in {which}" for c, which in ((arm.first, "A"), (arm.second, "B"))]
    found, name = arm.change.found, f"{arm.first.arm} against {arm.first.baseline}"
    if found is None:
        return f"{name}: {', '.join(words)}"
    told = "does not leave out zero" if found.ci[0] <= 0 <= found.ci[1] else "leaves out zero"
    return f"{name}: {', '.join(words)}; how much more it changes in B {told}"


def _forest(arms: Sequence[SharedArm]) -> Drawing | None:
    """Both studies' differences, a row each."""
    named = [
        dataclasses.replace(c, arm=f"{c.arm}, {which}")
        for arm in arms
        for c, which in ((arm.first, "A"), (arm.second, "B"))
    ]
    data = forest(named)
    if data is None:
        return None
    alt = "Differences from the baseline with 95 % intervals, in A and in B; the numbers are in the table below"
    caption = "Each study's own verdicts. The blue band is the margin of equivalence of A."
    return Drawing("forest", forest_plot(data), alt, caption)


def _arms(arms: Sequence[SharedArm], a: Material, b: Material) -> Section:
    rows = [
        (
            arm.first.arm,
            arm.first.baseline,
            _verdict(arm.first),
            _difference(arm.first),
            _verdict(arm.second),
            _difference(arm.second),
            *_contrast(arm.change),
        )
        for arm in arms
    ]
    columns = ("arm", "against", "A, verdict", "A, difference", "B, verdict", "B, difference", "B minus A", "p", "how")
    note = f"In {SCORES[PRIMARY].unit}, with 95 % intervals. B minus A: how much more the arm changes in B than in A."
    if not rows:
        names = [sorted(f"{c.arm} against {c.baseline}" for c in m.comparisons) for m in (a, b)]
        told = f"A compares {', '.join(names[0]) or 'nothing'}; B compares {', '.join(names[1]) or 'nothing'}."
        return Section("Shared arms", (told,))
    return Section("Shared arms", grids=(Grid(columns, rows, note),))


def _verdict(c: Comparison) -> str:
    return c.verdict or "none"


def _difference(c: Comparison) -> str:
    if c.mean_difference is None:
        return NOT_AVAILABLE
    return lines(f"{signed(c.mean_difference)} {interval(c.ci95)}", count(c.num_seeds, "pair"))


def _contrast(found: Contrast) -> tuple[str, str, str]:
    if found.found is None:
        return NOT_AVAILABLE, NOT_AVAILABLE, found.how
    return f"{signed(found.found.mean)} {interval(found.found.ci)}", p_text(found.found.p), found.how


def _setups(a: Material, b: Material) -> Section:
    rows = [(d.what, d.first, d.second) for d in differences(a.study, b.study)]
    if not rows:
        return Section("What differs in their setups", ("Nothing that was recorded.",))
    note = "Everything else that was recorded of how they were done is the same."
    return Section("What differs in their setups", grids=(Grid(("what", "A", "B"), rows, note),))


def _levels(levels: Sequence[SharedLevel]) -> Section:
    rows = [
        (
            row.arm,
            level_text(level(list(row.first.values()))),
            level_text(level(list(row.second.values()))),
            *_contrast(row.change),
        )
        for row in levels
    ]
    note = (
        f"{SCORES[PRIMARY].title.capitalize()}, {SCORES[PRIMARY].unit}: means over seeds with 95 % intervals. Of two "
        "texts a level is not comparable, only what an arm changes."
    )
    return Section("Levels", grids=(Grid(("arm", "A", "B", "B minus A", "p", "how"), rows, note),))
