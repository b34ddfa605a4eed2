"""The report as one HTML file that needs nothing else: styles, figures and a script are inside, nothing is fetched.

The script (templates/page.js) sorts tables and changes the theme; without it the page reads the same.
"""

from __future__ import annotations

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.reporting.figures.style import for_page
from harness.reporting.markdown import TEMPLATES
from harness.reporting.page import Page


def render(page: Page) -> str:
    """The page with its figures in it."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["inside"] = lambda svg: Markup(for_page(svg))  # drawn by reporting/figures
    return environment.get_template("report.html.jinja").render(page=page)
