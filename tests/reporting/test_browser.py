"""A report, an index and a comparison as a reader has them: opened in headless Chromium, sorted, their theme changed,
and nowhere too wide.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.records.study import write_study
from harness.report import main
from harness.reporting.section import Material
from tests.reporting.conftest import LONG, SHAPES

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (it is in the dev extra)")
from selenium.webdriver.common.keys import Keys  # noqa: E402

NEEDS = ("chromium", "chromedriver")
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(22, 23, 26)"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    lacking = [program for program in NEEDS if shutil.which(program) is None]
    if lacking:
        pytest.skip(f"not on PATH: {', '.join(lacking)} (Debian's chromium and chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(str(shutil.which("chromedriver")), log_output=subprocess.DEVNULL)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, report_of) -> Callable[[Material, int], Any]:
    def at(shape: Material, width: int) -> Any:
        browser.set_window_size(width, 900)
        browser.get((report_of(shape) / "report.html").as_uri())
        return browser

    return at


def overflow(browser) -> int:
    return browser.execute_script("const e = document.documentElement; return e.scrollWidth - e.clientWidth")


def theme(browser) -> tuple[str, str]:
    """Colour of the page, words on the button."""
    colour = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    return colour, browser.find_element("id", "theme").text


def column(table, index: int) -> list[str]:
    return [cell.text for cell in table.find_elements("css selector", f"tbody tr > :nth-child({index + 1})")]


def test_tables_sort_by_click_and_by_enter(many, opened) -> None:
    browser = opened(many, 1200)
    table = browser.find_element("xpath", "//h2[text()='Differences']/following::table[1]")
    names = [head.text for head in table.find_elements("css selector", "thead th")]
    at = names.index("difference")
    head = table.find_elements("css selector", "thead th")[at]
    written = column(table, at)
    numbers = sorted(map(float, written))
    assert list(map(float, written)) == numbers[::-1], "the report gives the worst first"
    head.click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert list(map(float, column(table, at))) == numbers
    head.send_keys(Keys.ENTER)
    assert head.get_attribute("aria-sort") == "descending"
    assert list(map(float, column(table, at))) == numbers[::-1]
    head.send_keys(Keys.SPACE)
    assert head.get_attribute("aria-sort") is None
    assert column(table, at) == written
    assert browser.get_log("browser") == []


def test_what_is_not_a_number_stays_last(troubled_scores, opened) -> None:
    browser = opened(troubled_scores, 1200)
    table = browser.find_element("xpath", "//h2[text()='Every seed']/following::table[1]")
    head = table.find_elements("css selector", "thead th")[1]
    for _ in range(2):
        head.click()
        assert column(table, 1)[-1] == "diverged"
    head.click()
    names = table.find_elements("css selector", "thead th")[0]
    names.click()
    assert column(table, 0) == sorted(column(table, 0)), "words sort as words"


def test_cells_are_read_as_numbers(alone, opened) -> None:
    browser = opened(alone, 1200)
    read = {
        "1.6512 [1.6470, 1.6555]\nΔ +0.0029": 1.6512,
        "-0.0029": -0.0029,
        "1,234,567": 1234567,
        "< 0.0001": 0.0001,
        "1.2e+09": 1.2e9,
        "12.5 MiB": 12.5 * 2**20,
        "3 of 4": 3,
        "+2.1 % [0.9, 3.8]": 2.1,
        "N/A": None,
        "2x64": None,
        "1.5b": None,
        "": None,
    }
    assert browser.execute_script("return arguments[0].map(leading)", list(read)) == list(read.values())


def test_the_theme_changes_and_changes_back(alone, opened) -> None:
    browser = opened(alone, 1200)
    before = theme(browser)
    assert before in ((LIGHT, "Dark theme"), (DARK, "Light theme"))
    browser.find_element("id", "theme").click()
    assert theme(browser)[0] == ({LIGHT, DARK} - {before[0]}).pop()
    browser.find_element("id", "theme").click()
    assert theme(browser) == before
    assert browser.get_log("browser") == []


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three studies, one with a long name, one damaged: the index over them, and two compared."""
    folder = tmp_path_factory.mktemp("reports")
    for name, shape in (("b", "equivalent"), ("a", "inconclusive"), (f"{LONG * 2}"[:200], "alone"), ("cut", "alone")):
        write_study(folder / name, SHAPES[shape].study, list(SHAPES[shape].runs))
    (folder / "cut" / "runs.jsonl").write_text("{", encoding="utf-8")
    assert main([str(folder / "a")]) == 0
    assert main([str(folder)]) == 0
    assert main([str(folder / "a"), str(folder / "b")]) == 0
    return {"index": folder / "index.html", "compared": folder / "compared" / "a--b" / "report.html"}


@pytest.mark.parametrize("name", ["index", "compared"])
def test_the_index_and_a_comparison_sort_change_their_theme_and_fit(name: str, browser, reports) -> None:
    for width in (400, 1200):
        browser.set_window_size(width, 900)
        browser.get(reports[name].as_uri())
        assert overflow(browser) == 0
    tables = browser.find_elements("css selector", "table")
    assert tables
    for table in tables:
        written = column(table, 0)
        head = table.find_elements("css selector", "thead th")[0]
        head.click()
        assert head.get_attribute("aria-sort") == "ascending"
        assert sorted(column(table, 0)) == sorted(written)
        head.click()
        head.click()
        assert column(table, 0) == written
    if name == "index":
        box = tables[0].find_element("xpath", "..")
        assert browser.execute_script("return arguments[0].scrollWidth <= arguments[0].clientWidth", box), "in sight"
        names = tables[0].find_elements("css selector", "thead th")[0]
        names.click()
        assert column(tables[0], 0)[:3] == ["a", "b", "cut"], "the newest first, until a head is clicked"
        assert [link.text for link in tables[0].find_elements("css selector", "a")] == ["a"], "the others have no page"
    before = theme(browser)
    browser.find_element("id", "theme").click()
    assert theme(browser)[0] == ({LIGHT, DARK} - {before[0]}).pop()
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize("name", ["many", "long", "alone", "nothing_begun", "troubled_scores", "hostile", "huge"])
def test_no_page_is_wider_than_its_window(name: str, width: int, opened, request: pytest.FixtureRequest) -> None:
    browser = opened(request.getfixturevalue(name), width)
    assert overflow(browser) == 0
    assert browser.get_log("browser") == []


def test_a_wide_table_scrolls_in_its_box(many, opened) -> None:
    wide = "return [...document.querySelectorAll('.scroll')].some((box) => box.scrollWidth > box.clientWidth)"
    assert opened(many, 400).execute_script(wide)
