"""The report as Markdown. Every value is escaped on its way into the template, so no name can become markup."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.reporting.page import Page

TEMPLATES = Path(__file__).parent / "templates"


def render(page: Page) -> str:
    """The page as GitHub-flavoured Markdown; its figures are files beside it."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=False,  # this is not HTML: `finalize` escapes
        finalize=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.md.jinja").render(
        page=page, fence=Verbatim(_fence(page.command)), command=Verbatim(page.command)
    )


class Verbatim(str):
    """Text that goes into the template as it is."""


def escape(value: Any) -> str:
    """Text that Markdown shows as it is, in a paragraph, a list or a table cell."""
    if isinstance(value, Verbatim):
        return value
    line = " ".join(str(value).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"[\\`*|]|\](?=[(\[])|(?<!\w)_|_(?!\w)", lambda found: f"\\{found.group()}", line)


def _fence(text: str) -> str:
    """Backticks enough that no line of `text` can close the block."""
    return "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
