import os
import pathlib
import shutil
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "server"))
from browsing import CHROMIUM, Browsing  # noqa: E402
from serving import GOLDEN, ROOT, start_fake, start_real  # noqa: E402


@pytest.fixture(scope="session")
def browser():
    if os.environ.get("VARGPT_SANITIZER"):
        pytest.skip("the page is the same on every build; tests/server has its files under sanitizers")
    if not shutil.which(CHROMIUM):
        pytest.skip("there is no chromium: tools/install-deps --test")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browsing = Browsing(playwright)
        yield browsing
        browsing.close()


@pytest.fixture(scope="session")
def real(browser):
    server = start_real(GOLDEN / "tiny-a" / "checkpoint", "--model-name", "tiny")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def demo(browser):
    server = start_real(ROOT / "models" / "demo")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def fake(browser):
    server = start_fake()
    yield server
    server.stop()


@pytest.fixture
def visit(browser):
    """visit(server, ...): a page in a profile of its own, ready to be used. What it should not have done fails the test."""
    yield browser.visit
    browser.leave_all()
