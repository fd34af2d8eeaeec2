"""Prompt agents through the real service: no sessions, no logs, and yet a bad version is rolled back."""

from foundry_rollouts.foundry.definition import PromptDefinition
from town import AGENT, POLICY, Town

ONLY_PROBE = POLICY.replace("  logs: {}\n", "").replace("[probe, logs]", "[probe]")


async def prompt(town: Town, model: str, instructions: str = "Be brief.") -> None:
    await town.cloud.api.versions.create(AGENT, PromptDefinition({"model": model, "instructions": instructions}))


async def a_stable_prompt(town: Town, policy: str = ONLY_PROBE) -> None:
    await prompt(town, "gpt-4.1-mini")
    await town.control(policy)
    await town.until_pinned("1")


async def test_a_healthy_prompt_walks_all_weights_and_is_promoted(town: Town) -> None:
    await a_stable_prompt(town, f"{ONLY_PROBE}ready-within: 5s\n")
    await prompt(town, "gpt-4.1-mini", "Be kind.")
    rollout = await town.until_phase("promoted")
    assert await town.kinds() == ["created", "started", "advanced", "advanced", "promoted"]
    assert "0 of" in rollout["because"]
    assert await town.weights() == {"2": 100}


async def test_a_bad_prompt_is_rolled_back_at_the_first_weight(town: Town) -> None:
    await a_stable_prompt(town)
    await prompt(town, "emulator://echo?error_rate=0.5")
    rollout = await town.until_phase("rolled_back")
    assert await town.kinds() == ["created", "started", "rolled_back"]
    assert "failed (HTTP 500" in rollout["because"]
    assert await town.weights() == {"1": 100}


async def test_logs_of_the_policy_are_left_out_and_the_history_says_so(town: Town) -> None:
    await a_stable_prompt(town, POLICY)
    await prompt(town, "emulator://echo?error_rate=0.5")
    await town.until_phase("rolled_back")
    started = (await town.history())[1]
    assert started["because"].startswith(
        f"{AGENT} is a prompt agent, which has no logs: they are left out of policy support. version 2 is active"
    )
    assert await town.weights() == {"1": 100}
