"""The report of a market run in a real browser: it asks for nothing and shows everything."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import market_records
import pytest
from playwright.sync_api import Browser, sync_playwright

from equigrad.federation.trade.report import write_report

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium (Debian: apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 400)])
def test_the_report_in_a_browser(tmp_path: Path, browser: Browser, scheme: str, width: int) -> None:
    report = write_report(market_records.write(tmp_path / "run", appraise=True))
    asked: list[str] = []
    complaints: list[str] = []
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 900}, offline=True
    )
    page = context.new_page()
    page.route(
        "**/*",
        lambda route: (
            route.continue_()
            if route.request.url == report.as_uri()
            else (asked.append(route.request.url), route.abort())[1]
        ),
    )
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(report.as_uri())
    page.wait_for_load_state("networkidle")

    names = market_records.names(5)
    assert page.locator("#parties tbody th").all_inner_texts() == names
    assert page.locator("#round-table tbody th").all_inner_texts() == ["1", "2", "3"]
    plots = page.locator("figure svg")
    assert plots.count() == 7
    for plot in plots.all():
        box = plot.bounding_box()
        assert box is not None
        assert box["width"] > 200
        assert box["height"] > 50
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) <= 0
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(15, 19, 24)") == (scheme == "dark")
    assert page.get_by_role("img", name="What each party sold").count() == 1
    assert asked == []
    assert complaints == []
    context.close()
