"""Sites that nobody expects: hundreds of policies, names without an end, agents that are gone, pages at 200%."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from browser.background import Background
from browser.gallery import HOSTILE, STEPS, Gallery, Shown, a_site, ended, progressing, put, seen
from browser.windows import OVERFLOW, PHONE, examine
from builders import NOON, a_policy
from fakes import FakePolicies, record
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.ports import Record

Visit = Callable[..., Page]
ENDLESS = "x" * 200
POLICIES = tuple(
    a_policy(name=f"{number:03}-{ENDLESS[:90]}", agents=(f"{number}-*",), steps=STEPS) for number in range(300)
)
#: A browser at 200% has half the pixels for the page.
AT_200_PERCENT = 720


@pytest.fixture(scope="module")
def odd(background: Background, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    """Serve agents with endless names and sentences, one that is gone, and one that was made again under its name."""
    because = f"{HOSTILE} {ENDLESS} " * 3
    bad = Shown(
        f"bad-{ENDLESS}", "1", "2", POLICIES[0], ended(Phase.ROLLED_BACK, timedelta(minutes=3), because, id="r-bad")
    )
    moves = Shown(
        f"moves-{ENDLESS}", "1", "2", POLICIES[1], progressing(1, timedelta(0), because=because, id="r-moves")
    )
    gone = Shown("gone-agent", "1", "2", POLICIES[2], ended(Phase.PROMOTED, timedelta(hours=1), "baked", id="r-gone"))
    again = Shown(
        "made-again", "1", "2", POLICIES[2], ended(Phase.ROLLED_BACK, timedelta(hours=1), "bad", id="r-again")
    )
    with background.entered(a_site(tmp_path_factory.mktemp("odd"), policies=FakePolicies(POLICIES))) as site:
        for each in (bad, moves, gone, again):
            background.run(put(site.store, each))
        background.run(record(site.store, "made-again", Record(incarnation=2, stable="1", newest="1")))
        background.run(site.store.see_agents([seen(each) for each in (bad, moves, gone, again)], NOON))
        background.run(site.store.see_agents([seen(bad), seen(moves), seen(again)], NOON + timedelta(seconds=1)))
        yield site


@pytest.mark.parametrize("path", ["/", "/history", "/policies", "/rollouts/r-bad", "/rollouts/r-gone"])
def test_nothing_is_cut_off_however_long_it_is_and_at_200_percent(path: str, odd: Gallery, visit: Visit) -> None:
    page = visit(f"{odd.url}{path}")

    expect(page.locator("h1")).to_have_count(1)
    examine(
        page,
        f"odd{path.replace('/', '-')}",
        (AT_200_PERCENT, PHONE) if path.startswith("/rollouts/") else (AT_200_PERCENT,),
    )
    assert page.evaluate(OVERFLOW) <= 0
