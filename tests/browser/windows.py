"""Windows of the browser that report on themselves, and what every page is examined for."""

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

WIDE, PHONE = 1440, 390
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
HEIGHTS = {WIDE: 900, PHONE: 844}
#: Where pictures of all pages are left: outside the repository unless the variable says otherwise.
PICTURES = Path(os.environ.get("PICTURES") or Path(tempfile.gettempdir(), "foundry-rollouts-pictures"))
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
REPORT = """document.addEventListener('securitypolicyviolation', e =>
  console.error('policy: ' + e.violatedDirective + ' ' + e.blockedURI))"""

#: What the browser says of a stream that broke off, or that is refused when it is opened again.
BROKEN_STREAMS = (
    "htmx: htmx:sse:error: Failed to fetch",
    "htmx: htmx:sse:error: SSE reconnect failed with status 401",
    "htmx: htmx:error: timeout",
)

#: Text that is cut off by the box around it, and does not say so with dots.
CUT_OFF = """() => [...document.querySelectorAll('body *')].filter(e => {
  const s = getComputedStyle(e);
  if (!e.checkVisibility() || ['visible', 'auto', 'scroll'].includes(s.overflowX)) return false;
  if (e.closest('.sr, svg, [data-tail], select, input')) return false;
  if (s.clipPath !== 'none' || s.position === 'absolute') return false;
  return e.scrollWidth > e.clientWidth + 1;
}).map(e => e.tagName + '.' + e.className + ': ' + e.textContent.trim().slice(0, 60))"""
OVERFLOW = "() => document.scrollingElement.scrollWidth - document.documentElement.clientWidth"


@dataclass
class Windows:
    """The windows of one test, each of a person of its own."""

    browser: Browser
    troubles: list[str] = field(default_factory=list)
    _contexts: list[BrowserContext] = field(default_factory=list)

    def open(
        self, url: str | None = None, width: int = WIDE, scheme: Literal["light", "dark"] = "light", **more: Any
    ) -> Page:
        """Open a window of a new person, at ``url``; ``more`` are options of the browser's context."""
        context = self.browser.new_context(
            viewport={"width": width, "height": HEIGHTS.get(width, 900)},
            color_scheme=scheme,
            reduced_motion="reduce",
            **more,
        )
        self._contexts.append(context)
        context.add_init_script(REPORT)
        page = context.new_page()
        page.on("request", self._asked)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.troubles.append(f"script: {error}"))
        if url is not None:
            page.goto(url)
        return page

    def close(self) -> list[str]:
        """Close all windows and return what went wrong in them."""
        for context in self._contexts:
            context.close()
        return self.troubles

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url).hostname not in {"127.0.0.1", "localhost"}:
            self.troubles.append(f"asked {request.url}")

    def _said(self, message: ConsoleMessage) -> None:
        # That an answer is no 2xx, or that a stream was cut off, is for the test to judge; the page shows it.
        expected = ("Failed to load resource", *BROKEN_STREAMS)
        if message.type in {"error", "warning"} and not message.text.startswith(expected):
            self.troubles.append(f"console: {message.text}")


def examine(page: Page, name: str, widths: Iterable[int] = (WIDE, PHONE)) -> None:
    """Leave pictures of ``page`` at each width, light and dark; fail where something is cut off or axe objects."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for width in widths:
        page.set_viewport_size({"width": width, "height": HEIGHTS.get(width, 900)})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=PICTURES / f"{name}-{width}-{scheme}.png", full_page=True)
            assert objections(page) == [], f"{name}, {width}, {scheme}"
        assert page.evaluate(OVERFLOW) <= 0, f"{name} scrolls sideways at {width}"
        assert page.evaluate(CUT_OFF) == [], f"{name} at {width}"


def objections(page: Page) -> list[str]:
    """Return what axe objects to on the page as it is, one line each."""
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]})
    return [
        f"{each['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
        for each in found.response["violations"]
        for node in each["nodes"]
    ]
