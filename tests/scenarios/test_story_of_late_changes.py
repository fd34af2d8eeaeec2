"""Changes that the cloud refuses at first and applies later all the same: they are ours, whenever they arrive."""

from typing import Any

from town import POLICY, Town

#: A second step that lasts longer than a change is late.
LONG = POLICY.replace("{weight: 50, min: 1s}", "{weight: 50, min: 60s}")
LATE = {"operation": "agents.patch", "status": 504, "code": "timeout", "message": "late", "times": 1}


async def begin(town: Town) -> None:
    await town.image("emulator://echo")
    await town.control(LONG)
    await town.until_pinned("1")


async def is_at(town: Town, weights: dict[str, int]) -> bool:
    return await town.weights() == weights


async def test_a_change_of_an_earlier_step_that_arrives_late_is_no_drift_and_the_plan_stands_again(town: Town) -> None:
    await begin(town)
    await town.emulate("POST", "/faults", LATE | {"apply_after": 6})
    await town.image("emulator://echo?latency_ms=1")
    await town.until_step(2)

    async def restored() -> Any:
        return [event for event in await town.history() if event["kind"] == "rollout.restored"]

    (event,) = await town.until(restored)
    assert event["because"].startswith("a change of ours arrived late, sent at ")
    assert await town.kinds() == ["created", "started", "advanced", "restored"]
    assert await is_at(town, {"1": 50, "2": 50})
    rollout = await town.rollout()
    assert rollout is not None
    assert rollout["phase"] == "progressing"


async def test_a_change_that_arrives_after_the_rollback_is_taken_back(town: Town) -> None:
    await begin(town)
    await town.image("emulator://echo?latency_ms=1")
    await town.until_step(1)
    await town.emulate("POST", "/faults", LATE | {"apply_after": 6})
    rollout = await town.until_step(2)
    await town.api(f"/api/v1/rollouts/{rollout['id']}:abort", {"generation": rollout["generation"]})
    await town.until_phase("rolled_back")
    assert await is_at(town, {"1": 100})
    await town.until(lambda: is_at(town, {"1": 50, "2": 50}))
    await town.until(lambda: is_at(town, {"1": 100}))
