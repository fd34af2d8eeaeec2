"""The pages of what was and of policies: filters, pages, files for other programs, and the plan."""

from datetime import timedelta

import pytest

from builders import NOON, a_policy, a_rollout
from fakes import stand
from foundry_rollouts.core.model.rollout import Phase
from unit.web.served import Web

DAY = timedelta(days=1)


async def three(web: Web) -> None:
    """Put three ended rollouts into the history: two days, two policies, two ends."""
    ended = {"started_at": NOON, "ended_at": NOON, "step": 1}
    await stand(web.store, a_rollout(id="r-a", phase=Phase.PROMOTED, because="proved and baked", **ended))
    bad = {"phase": Phase.ROLLED_BACK, "canary": "3", "created_at": NOON + DAY, "because": "100% of calls THROTTLED"}
    await stand(web.store, a_rollout(id="r-b", **(ended | bad)))
    other = {"phase": Phase.PROMOTED, "canary": "4", "created_at": NOON + 2 * DAY, "policy": a_policy(name="other")}
    await stand(web.store, a_rollout(id="r-c", because="=1+1", **(ended | other)))


async def listed(web: Web, query: str) -> list[str]:
    text = (await web.client.get(f"/history?{query}")).text
    return [name for name in ("r-a", "r-b", "r-c") if f'href="/rollouts/{name}"' in text]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["r-a", "r-b", "r-c"]),
        ("phase=rolled_back", ["r-b"]),
        ("policy=other", ["r-c"]),
        ("words=throttled", ["r-b"]),
        ("words=%25", ["r-b"]),
        ("words=SUPPORT-", ["r-a", "r-b", "r-c"]),
        ("agent=support-agent", ["r-a", "r-b", "r-c"]),
        ("agent=another", []),
        ("since=2026-03-03", ["r-b", "r-c"]),
        ("until=2026-03-03", ["r-a", "r-b"]),
        ("since=2026-03-03&until=2026-03-03", ["r-b"]),
        ("phase=nonsense&since=yesterday&until=%00", ["r-a", "r-b", "r-c"]),
        ("before=r-c", ["r-a", "r-b"]),
    ],
)
async def test_filters_narrow_the_history_down(web: Web, query: str, found: list[str]) -> None:
    await three(web)

    assert await listed(web, query) == found


async def test_a_page_that_begins_after_nothing_known_says_so(web: Web) -> None:
    answer = await web.client.get("/history?before=r-none")

    assert (answer.status_code, "There is no rollout r-none." in answer.text) == (404, True)


async def test_no_text_of_the_file_is_a_formula(web: Web) -> None:
    await three(web)

    answer = await web.client.get("/history.csv?until=2026-03-04")

    lines = answer.text.splitlines()
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert lines[0].startswith("id,agent,stable,canary,phase")
    assert [line.split(",")[0] for line in lines[1:]] == ["r-c", "r-b", "r-a"]
    assert lines[1].endswith(",'=1+1")


async def test_the_page_of_policies_shows_the_plan_of_one(web: Web) -> None:
    text = (await web.client.get("/policies?rps=5&fails=1")).text

    for shown in ("<b>support</b>", "10 → 50 → 100", "promoted after about", "Weight 50", "support-*", "last bake"):
        assert shown in text


async def test_the_plan_is_for_the_rate_that_was_named(web: Web) -> None:
    def minutes(text: str) -> str:
        return text.split("promoted after about ")[1].split("<", maxsplit=1)[0]

    few, many = [(await web.client.get(f"/policies?rps=2&fails={fails}")).text for fails in (1, 10)]

    assert minutes(few) != minutes(many)


async def test_an_unknown_policy_is_not_found(web: Web) -> None:
    answer = await web.client.get("/policies?name=<b>")

    assert (answer.status_code, "“&lt;b&gt;”" in answer.text) == (404, True)
