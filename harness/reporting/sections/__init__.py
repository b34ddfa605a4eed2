"""What follows the verdict, one section a file. `section(material)` gives it, or None with nothing to show."""

from __future__ import annotations

from collections.abc import Callable

from harness.reporting.section import Material, Section

SECTIONS: tuple[Callable[[Material], Section | None], ...] = ()
"""In the order of the page."""
