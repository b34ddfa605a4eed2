"""What follows the verdict, one section a file. `section(material)` gives it, or None with nothing to show."""

from __future__ import annotations

from collections.abc import Callable

from harness.reporting.section import Material, Section
from harness.reporting.sections import (
    checks,
    confounds,
    contributions,
    divergence,
    experts,
    extrapolation,
    facets,
    factorial,
    lmeval,
    noise,
    pareto,
    position,
    profile,
    regimes,
    registration,
    reviewer,
    scores,
    screening,
    stability,
    throughput,
    tuning,
)

DESIGN_SECTIONS: tuple[Callable[[Material], Section | None], ...] = (
    screening.section,
    factorial.section,
    contributions.section,
)
"""What a study's design is for, before the tables that every study has."""

SECTIONS: tuple[Callable[[Material], Section | None], ...] = (
    regimes.section,
    tuning.section,
    checks.section,
    noise.section,
    divergence.section,
    stability.section,
    scores.section,
    lmeval.section,
    position.section,
    extrapolation.section,
    facets.section,
    experts.section,
    throughput.section,
    pareto.section,
    profile.section,
)
"""In the order of the page."""

WHOLE_SECTIONS: tuple[Callable[[Material], Section | None], ...] = (
    confounds.section,
    registration.section,
    reviewer.section,
)
"""Of all arms and runs, where a study screens; the others then show those that went on."""
