"""The report as one HTML file that needs nothing else: styles and figures are inside, nothing is fetched."""

from __future__ import annotations

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.reporting.figures import for_page
from harness.reporting.markdown import TEMPLATES
from harness.reporting.page import Page


def render(page: Page, figures: dict[str, str]) -> str:
    """The page with its figures, SVG text by name ("forest", "curves")."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    inside = {name: Markup(for_page(svg)) for name, svg in figures.items()}  # drawn by figures.py
    return environment.get_template("report.html.jinja").render(page=page, figures=inside)
