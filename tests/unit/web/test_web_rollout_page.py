"""The forms of the page of one rollout: commands without script and with ours, and those that come too late."""

import json
import re
from urllib.parse import urlencode

import httpx
import pytest

from builders import NOON, a_rollout
from fakes import stand
from foundry_rollouts.core.model.command import Verb
from foundry_rollouts.core.model.rollout import Phase
from patience import PATIENCE
from unit.web.served import Web, served

FORM = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
SCRIPT = FORM | {"HX-Request": "true"}


async def press(web: Web, verb: str, headers: dict[str, str] = FORM, **fields: object) -> httpx.Response:
    """Send the form as the button ``verb`` does."""
    return await web.client.post(f"/ui/rollouts/r-1:{verb}", content=urlencode(fields), headers=headers)


async def begun(web: Web, **but: object) -> int:
    """Put a rollout under way into the store and return its generation."""
    what = {"phase": Phase.PROGRESSING, "step": 1, "started_at": NOON, "step_started_at": NOON}
    return (await stand(web.store, a_rollout(**(what | but)))).generation


async def test_without_script_a_button_leads_back_to_the_page_which_says_what_was_asked(web: Web) -> None:
    generation = await begun(web)

    answer = await press(web, "abort", generation=generation, reason="  too many\n calls ")

    assert (answer.status_code, answer.headers["location"]) == (303, "/rollouts/r-1")
    (asked,) = await web.store.commands("r-1")
    assert (asked.verb, asked.reason, asked.author) == (Verb.ABORT, "too many calls", "api")
    assert web.wake.rings == 1
    shown = (await web.client.get("/rollouts/r-1")).text
    assert "api asked to abort at 12:00:00, “too many calls”" in shown


async def test_our_script_gets_the_parts_of_the_page(web: Web) -> None:
    generation = await begun(web)

    answer = await press(web, "pause", SCRIPT, generation=generation, reason="")

    assert answer.status_code == 202
    assert '<hx-partial hx-target="#r-bar" hx-swap="outerMorph">' in answer.text
    assert f'name="generation" value="{generation + 1}"' in answer.text
    assert "<html" not in answer.text


@pytest.mark.parametrize("headers", [FORM, SCRIPT], ids=["whole page", "parts"])
async def test_who_comes_second_reads_what_changed_and_gets_the_new_generation(
    web: Web, headers: dict[str, str]
) -> None:
    generation = await begun(web)
    await press(web, "pause", generation=generation)

    answer = await press(web, "abort", headers, generation=generation)

    assert answer.status_code == 409
    assert "Nothing was done: " in answer.text
    assert f"generation {generation + 1}" in answer.text
    assert [each.verb for each in await web.store.commands("r-1")] == [Verb.PAUSE]


@pytest.mark.parametrize("fields", [{}, {"generation": "x"}, {"generation": 1, "reason": "ab" * 300}])
async def test_a_form_that_makes_no_sense_does_nothing_and_says_so(web: Web, fields: dict[str, object]) -> None:
    await begun(web)

    answer = await press(web, "pause", SCRIPT, **fields)

    assert answer.status_code == 422
    assert "Nothing was done: " in answer.text
    assert await web.store.commands("r-1") == []


async def test_a_form_is_taken_where_forms_are_and_nowhere_else(web: Web) -> None:
    generation = await begun(web)
    fields = urlencode({"generation": generation})

    assert (await web.client.post("/api/v1/rollouts/r-1:abort", content=fields, headers=FORM)).status_code == 415
    as_json = await web.client.post("/ui/rollouts/r-1:abort", json={"generation": generation})
    assert as_json.status_code == 415
    foreign = FORM | {"Origin": "https://elsewhere.example"}
    assert (await press(web, "abort", foreign, generation=generation)).status_code == 403
    assert (await press(web, "explode", generation=generation)).status_code == 404
    assert await web.store.commands("r-1") == []


async def test_what_raises_exposure_has_a_page_of_its_own_without_script(web: Web) -> None:
    await begun(web)

    shown = await web.client.get("/rollouts/r-1/promote")

    assert shown.status_code == 200
    for said in ("Promote v2 by one step?", "weight 10 → 50", "the proof: evidence is none", 'name="reason" required'):
        assert said in shown.text
    too_late = await web.client.get("/rollouts/r-1/retry")
    assert too_late.status_code == 200
    assert "It makes no sense to retry it now" in too_late.text


async def test_a_retry_leads_to_the_new_rollout(web: Web) -> None:
    await begun(web, phase=Phase.ROLLED_BACK, ended_at=NOON)
    generation = (await web.store.rollout("r-1")).generation

    answer = await press(web, "retry", SCRIPT, generation=generation, reason="the network was to blame")

    assert answer.status_code == 303
    found = (await web.client.get(answer.headers["location"])).text
    assert "the network was to blame" in found


async def test_the_stream_brings_the_whole_page_first_and_then_only_what_changed(web: Web) -> None:
    generation = await begun(web)
    messages: list[set[str]] = []
    live = "/ui/rollouts/r-1/live?charts="
    async with served(web.services) as (client, _), client.stream("GET", live, timeout=PATIENCE) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            if "hx-partial" in line:
                messages.append(set(re.findall(r'hx-target="#([^"]+)"', line)))
            elif line.startswith("data: {") and len(messages) > 1:
                assert json.loads(line.removeprefix("data: "))["title"].startswith("Weight 10")
                break
            elif line.startswith("data: {"):
                await press(web, "pause", generation=generation)
    found = set().union(*messages)
    assert {"r-head", "r-bar", "r-hero", "r-track", "r-line"} <= found
    assert "r-gates" not in messages[-1]
