"""What follows the verdict, one section a file. `section(material)` gives it, or None with nothing to show."""

from __future__ import annotations

from collections.abc import Callable

from harness.reporting.section import Material, Section
from harness.reporting.sections import (
    confounds,
    experts,
    extrapolation,
    facets,
    lmeval,
    pareto,
    position,
    profile,
    regimes,
    registration,
    scores,
    throughput,
)

SECTIONS: tuple[Callable[[Material], Section | None], ...] = (
    regimes.section,
    scores.section,
    lmeval.section,
    position.section,
    extrapolation.section,
    facets.section,
    experts.section,
    throughput.section,
    pareto.section,
    profile.section,
    confounds.section,
    registration.section,
)
"""In the order of the page."""
