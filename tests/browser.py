"""Debian's Chromium under Playwright, and what a page does that it should not."""

import contextlib
import shutil

import pytest

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    "--disable-sync",
)


@contextlib.contextmanager
def opened(url, width, scheme="light"):
    """Yields the page and the list of its console's errors and outside requests.

    The test is skipped where there is no browser.
    """
    api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    wrong, own = [], url.split("#")[0]
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(
            viewport={"width": width, "height": 800}, color_scheme=scheme
        )
        page.on("console", lambda told: _note(told.type, told.text, wrong))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: _outside(asked.url, own, wrong))
        page.goto(url)
        yield page, wrong
        browser.close()


def _note(kind, text, wrong):
    if kind in ("error", "warning"):
        wrong.append(text)


def _outside(asked, own, wrong):
    if not asked.startswith((own, "blob:" + own)):
        wrong.append(f"a request to {asked}")
