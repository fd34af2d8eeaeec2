"""Debian's Chromium on the real pages: one browser, a site full of agents, windows that report on themselves."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from browser.background import Background
from browser.gallery import Gallery, a_gallery
from browser.stage import Real, a_stage
from browser.windows import Windows
from patience import PATIENCE
from tools.system_packages import environment_of, found

expect.set_options(timeout=1000 * PATIENCE)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Start the browser once; tests are left out where there is none."""
    program = found("chromium")
    if program is None:
        pytest.skip("chromium is missing (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, env={**environment_of("chromium")})
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def background() -> Iterator[Background]:
    """Run what is asynchronous beside the tests, which are not."""
    with Background() as running:
        yield running


@pytest.fixture(scope="module")
def gallery(background: Background, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    """Serve a database in which an agent is in each state that there is; the clock stands."""
    with background.entered(a_gallery(tmp_path_factory.mktemp("gallery"))) as served:
        yield served


@pytest.fixture(scope="module")
def stage(background: Background, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """Run a local Foundry and the whole service, each in a process of its own."""
    folder: Path = tmp_path_factory.mktemp("stage")
    with background.entered(a_stage(background, folder)) as real:
        yield real


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Open windows; at the end of the test none of them may have asked another host or broken its policy."""
    windows = Windows(chromium)
    yield windows.open
    troubles = windows.close()
    assert troubles == []
