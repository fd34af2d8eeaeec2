"""The plain pages: what they show, for whom, and that they load nothing."""

from html.parser import HTMLParser

import pytest

from builders import NOON, a_rollout
from fakes import stand
from foundry_rollouts.core.model.rollout import Phase
from unit.web.served import Web


async def test_the_first_page_shows_agents_and_rollouts_with_their_reasons(web: Web) -> None:
    await stand(web.store, a_rollout(phase=Phase.ROLLED_BACK, because="canary 14 of 120 failed"))

    answer = await web.client.get("/")

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for shown in ("support-agent", "rolled back", "version 1 at 100%", "canary 14 of 120 failed"):
        assert shown in answer.text
    assert "href='/rollouts/r-1'" in answer.text


async def test_an_empty_first_page_says_so(web: Web) -> None:
    assert "none yet" in (await web.client.get("/")).text


async def test_the_page_of_a_rollout_tells_its_history(web: Web) -> None:
    await stand(
        web.store,
        a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON, because="well so far", waiting_for="12 more calls"),
    )

    answer = await web.client.get("/rollouts/r-1")

    for shown in ("well so far", "12 more calls", "rollout.progressing", "version 2 at 10%", "step 1 of 3"):
        assert shown in answer.text


async def test_the_page_of_an_unknown_rollout_says_so_to_people(web: Web) -> None:
    answer = await web.client.get("/rollouts/nothing<b>")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "there is no rollout nothing&lt;b&gt;" in answer.text
    assert "<a href='/'>All rollouts</a>" in answer.text


class Tables(HTMLParser):
    """Reads the columns of a page's tables, and the labels that stand in their place on a phone."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.columns: list[list[str]] = []
        self.rows: list[tuple[int, list[str | None]]] = []
        self._reads_column = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "table":
            self.columns.append([])
        elif tag == "th" and told["scope"] == "row":
            self.rows.append((len(self.columns) - 1, []))
        elif tag == "td" and "colspan" not in told:
            self.rows[-1][1].append(told["data-label"])
        self._reads_column = tag == "th" and told["scope"] == "col"

    def handle_data(self, data: str) -> None:
        if self._reads_column:
            self.columns[-1].append(data)


@pytest.mark.parametrize(("page", "tables"), [("/", 2), ("/rollouts/r-1", 1)])
async def test_on_a_phone_every_cell_brings_the_name_of_its_column(web: Web, page: str, tables: int) -> None:
    await stand(web.store, a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON))

    shown = Tables((await web.client.get(page)).text)

    assert {table for table, _ in shown.rows} == set(range(tables))
    for table, labels in shown.rows:
        assert labels == shown.columns[table][1:]


@pytest.mark.parametrize("page", ["/", "/rollouts/r-1"])
async def test_pages_escape_what_they_show_and_load_nothing(web: Web, page: str) -> None:
    await stand(web.store, a_rollout(because="<script>alert('x')</script>", waiting_for="<b>"))

    answer = await web.client.get(page)

    assert "<script" not in answer.text
    assert "&lt;script&gt;" in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert " style=" not in answer.text
