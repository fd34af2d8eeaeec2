"""The pages: what they show, for whom, and that they load nothing from elsewhere."""

import re
from datetime import timedelta
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest

from builders import NOON, a_rollout
from fakes import stand
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.web.render import STATIC
from unit.web.served import Web

PAGES = ["/", "/rollouts/r-1"]
#: ``| file | package | version | licence | `hash` |``
VENDORED = re.compile(r"^\| (\S+) \| .+ \| (\S+) \| `([0-9a-f]{64})` \|$", re.MULTILINE)


async def test_the_first_page_shows_what_happens_to_an_agent_and_why(web: Web) -> None:
    await stand(web.store, a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON, because="well so far"))

    answer = await web.client.get("/")

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for shown in ("support-agent", "Step 1 of 3, weight 10", "Well so far.", "v1 → v2"):
        assert shown in answer.text
    assert 'href="/rollouts/r-1"' in answer.text


async def test_an_empty_first_page_says_what_to_do(web: Web) -> None:
    await web.store.see_agents([], NOON + timedelta(seconds=1))

    text = (await web.client.get("/")).text

    assert "<b>No agents yet.</b>" in text
    assert "To your first rollout" in text
    assert "1 policy is in force" in text


async def test_the_page_of_a_rollout_shows_its_history(web: Web) -> None:
    await stand(
        web.store,
        a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON, because="well so far", waiting_for="12 more calls"),
    )

    answer = await web.client.get("/rollouts/r-1")

    for shown in ("well so far", "12 more calls", "Progressing", "v2 <b>10 %</b>", "step 1 of 3"):
        assert shown in answer.text


async def test_the_page_of_an_unknown_rollout_says_so_to_people(web: Web) -> None:
    answer = await web.client.get("/rollouts/nothing<b>")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no rollout nothing&lt;b&gt;." in answer.text
    assert '<a href="/">All agents</a>' in answer.text


class Tables(HTMLParser):
    """Reads the columns of a page's tables, and the labels that stand in their place on a phone."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.columns: list[list[str]] = []
        self.rows: list[tuple[int, list[str | None]]] = []
        self._reads_column = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "table":
            self.columns.append([])
        elif tag == "th" and named["scope"] == "row":
            self.rows.append((len(self.columns) - 1, []))
        elif tag == "td" and "colspan" not in named:
            self.rows[-1][1].append(named["data-l"])
        self._reads_column = tag == "th" and named["scope"] == "col"

    def handle_endtag(self, tag: str) -> None:
        self._reads_column = False

    def handle_data(self, data: str) -> None:
        if self._reads_column:
            self.columns[-1].append(data)


async def test_on_a_phone_every_cell_brings_the_name_of_its_column(web: Web) -> None:
    await stand(web.store, a_rollout(phase=Phase.PROMOTED, step=3, started_at=NOON, ended_at=NOON))

    shown = Tables((await web.client.get("/")).text)

    assert shown.rows
    for table, labels in shown.rows:
        assert labels == shown.columns[table][1:]


@pytest.mark.parametrize("page", PAGES)
async def test_pages_escape_what_they_show_and_load_nothing_from_elsewhere(web: Web, page: str) -> None:
    await stand(web.store, a_rollout(because="<script>alert('x')</script>\x1b[31m", waiting_for="<b>"))

    answer = await web.client.get(page)

    assert "<script>" not in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "\x1b" not in answer.text
    assert "\\x1b[31m" in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert " style=" not in answer.text
    assert " onclick=" not in answer.text


@pytest.mark.parametrize("page", PAGES)
async def test_every_file_that_a_page_loads_is_ours_and_is_kept(web: Web, page: str) -> None:
    await stand(web.store, a_rollout())
    text = (await web.client.get(page)).text
    loaded = re.findall(r'<(?:script|link|img)[^>]* (?:src|href)="([^"]+)"', text)

    assert len(loaded) > 5
    for address in loaded:
        assert address.startswith("/static/")
        answer = await web.client.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]


async def test_what_is_no_file_of_the_pages_is_not_served(web: Web) -> None:
    for path in ("/static/../render.py", "/static/%2e%2e/render.py", "/static/nothing.css", "/static/"):
        assert (await web.client.get(path)).status_code == 404


def test_vendored_files_are_those_that_were_published() -> None:
    folder = STATIC / "vendor"
    listed = VENDORED.findall((folder / "README.md").read_text("utf-8"))

    assert {file for file, _, _ in listed} == {path.name for path in folder.glob("*.js")}
    for file, licence, hashed in listed:
        assert sha256((folder / file).read_bytes()).hexdigest() == hashed
        assert (folder / licence).is_file()


@pytest.mark.parametrize("sheet", sorted(STATIC.glob("*.css")), ids=lambda path: path.name)
def test_a_stylesheet_is_whole(sheet: Path) -> None:
    text = sheet.read_text("utf-8")
    without_comments = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)

    assert "*/" not in without_comments, "a comment that was never opened takes the rule behind it along"
    assert without_comments.count("{") == without_comments.count("}")
