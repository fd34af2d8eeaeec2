"""Policies change under a running service: who is governed no more is reported, and one policy harms no other."""

import base64
import json
from typing import Any

from answering import a_server
from foundry_rollouts.foundry.definition import Definition
from scenarios.test_story_of_bad_days import conditions
from scenarios.test_story_of_messages import KEY, Receiver
from town import AGENT, POLICY, PROTOCOLS, Town

HOURLY = {"TICK_SECONDS": "1", "DISCOVERY_SECONDS": "3600"}
PATTERN = r"^(\w+[\s,]?)*$"


async def metric(town: Town, name: str) -> float | None:
    text = (await town.http.get(f"{town.stage.server}/metrics")).text
    found = [line.split()[1] for line in text.splitlines() if line.startswith(f"foundry_rollouts_{name} ")]
    return float(found[0]) if found else None


async def log_line(town: Town, event: str) -> dict[str, Any] | None:
    lines = (town.folder / "controller.log").read_text("utf-8").splitlines()
    read = [json.loads(line) for line in lines if line.startswith("{")]
    return next((line for line in read if line.get("event") == event), None)


async def version_of_another_agent(town: Town, reply: str) -> None:
    definition = Definition(image=f"emulator://echo?reply={reply}", protocols=PROTOCOLS)
    await town.cloud.api.versions.create("other-agent", definition)


async def test_agents_that_lose_their_policy_are_reported_at_once_and_everywhere(town: Town) -> None:
    receiver = Receiver(is_listening=True)
    async with a_server(receiver.answer) as address:
        secret = f"whsec_{base64.b64encode(KEY).decode()}"
        town.settings = {**HOURLY, "WEBHOOK__URL": address, "WEBHOOK__SECRET": secret}
        await town.a_stable_version()
        started = await town.until(lambda: log_line(town, "daemon.started"))
        assert (started["project"], started["policies"], started["notifies"]) == (town.stage.endpoint, 1, ["webhook"])
        assert (started["governed"], started["ungoverned"]) == (1, 0)
        assert started["database"].startswith("sqlite:///")

        (town.folder / "policy.yaml").write_text(POLICY.replace("support-*", "sales-*"), "utf-8")

        async def reported() -> dict[str, Any] | None:
            told = [message["data"] for message in receiver.told]
            return next((event for event in told if event["kind"] == "agent.ungoverned"), None)

        event = await town.until(reported)
        assert event["agent"] == AGENT
        assert event["because"] == (
            "policy support no longer matches agent support-agent, and no other policy does: "
            "its new versions get no trial;"
            " the endpoint stays as it is, with version 1 as the stable one"
        )

        async def counted() -> bool:
            return await metric(town, "agents_ungoverned") == 1

        await town.until(counted)
        line = await town.until(lambda: log_line(town, "agents.ungoverned"))
        assert line["because"] == "1 agent is no longer governed: its new versions get no trial"
        assert "1 without a policy: their new versions get no trial" in (await conditions(town))["agents"]["because"]


async def test_broken_policies_and_none_at_all_are_in_readyz_and_in_metrics(town: Town) -> None:
    town.settings = HOURLY
    await town.a_stable_version()
    (town.folder / "policy.yaml").write_text("name: [", "utf-8")

    async def broken() -> bool:
        return bool(await metric(town, "policy_problems"))

    await town.until(broken)
    seen = await conditions(town)
    assert seen["status"] == 200
    assert not seen["policies"]["is_well"]
    assert "1 in force, as they were before: " in seen["policies"]["because"]
    assert await metric(town, "policies") == 1
    age = await metric(town, "discovery_age_seconds")
    assert age is not None
    assert age < 60


async def test_a_pattern_without_end_in_one_policy_harms_no_other_agent(town: Town) -> None:
    """Both canaries answer; the pattern of one policy has 2 to the power of the answer's length ways to fail."""
    prompts = f"- name: natural\n  input: hello\n  expect: {{regex: '{PATTERN}'}}\n"
    (town.folder / "prompts.yaml").write_text(prompts, "utf-8")
    other = POLICY.replace("name: support", "name: other").replace("support-*", "other-agent")
    both = POLICY + "---" + other.replace("every: 100ms", "prompts: prompts.yaml, every: 100ms")
    words = "I+am+your+friendly+support+assistant+and+can+help+you+with+orders"
    await version_of_another_agent(town, f"{words}.")
    await town.image("emulator://echo")
    await town.control(both)
    await town.until_pinned("1")
    await version_of_another_agent(town, f"{words}!")
    await town.image("emulator://echo?error_rate=1")

    async def is_back() -> bool:
        # A loop that is busy for good never answers.
        assert (await town.http.get(f"{town.stage.server}/healthz")).status_code == 200
        rollout = await town.rollout("2")
        return rollout is not None and rollout["phase"] == "rolled_back"

    await town.until(is_back)
