"""The stories that the product exists for, each with real processes."""

from datetime import timedelta
from pathlib import Path

from foundry_rollouts.core.model.routing import LATEST, Routing
from town import AGENT, POLICY, Town

NO_WHEEL = {"code": "CodeError", "message": "no matching distribution for orders==9"}
WALK = ["created", "started", "advanced", "advanced", "promoted"]


async def test_a_healthy_canary_walks_10_50_100_and_is_promoted(town: Town) -> None:
    await town.a_stable_version()
    await town.image("emulator://echo?latency_ms=1")
    rollout = await town.until_phase("promoted")
    history = await town.history()
    assert await town.kinds() == WALK
    assert [event["weights"] for event in history[1:]] == [
        {"1": 90, "2": 10},
        {"1": 50, "2": 50},
        {"2": 100},
        {"2": 100},
    ]
    assert all(event["because"] for event in history)
    assert rollout["because"] == history[-1]["because"]
    assert "0 of" in rollout["because"]
    assert await town.weights() == {"2": 100}


async def test_a_canary_that_is_bad_from_the_start_is_taken_back_at_the_first_weight(town: Town) -> None:
    await town.a_stable_version()
    await town.image("emulator://echo?error_rate=0.5")
    rollout = await town.until_phase("rolled_back")
    assert await town.kinds() == ["created", "started", "rolled_back"]
    assert "failed (HTTP 500" in rollout["because"]
    assert await town.weights() == {"1": 100}


async def test_a_canary_that_breaks_at_50_percent_is_taken_back_from_there(town: Town) -> None:
    broken = town.folder / "broken"
    await town.a_stable_version()
    await town.source(Path(__file__).with_name("switch"), broken=str(broken))
    await town.until_step(2)
    broken.touch()
    rollout = await town.until_phase("rolled_back")
    assert await town.kinds() == ["created", "started", "advanced", "rolled_back"]
    assert rollout["weights"] == {"1": 100}
    assert await town.weights() == {"1": 100}


async def test_a_step_without_data_holds_and_says_what_it_waits_for(town: Town) -> None:
    only_users = POLICY.replace("probe: {every: 100ms, pairs: 2}\n  ", "").replace("[probe, logs]", "[logs]")
    await town.image("emulator://echo")
    await town.control(only_users)
    await town.until_pinned("1")
    await town.image("emulator://echo?latency_ms=1")
    await town.until_step(1)

    async def holds() -> bool:
        rollout = await town.rollout()
        return rollout is not None and (rollout["phase"], rollout["step"]) == ("progressing", 1)

    await town.for_a_while(holds, timedelta(seconds=5))
    rollout = await town.rollout()
    assert rollout is not None
    assert rollout["verdict"] == "no-data"
    assert rollout["waiting_for"] == "error-rate: no canary calls seen at this step yet (logs)"


async def test_a_version_that_fails_provisioning_fails_the_rollout_and_traffic_never_moves(town: Town) -> None:
    await town.a_stable_version()
    await town.emulate("POST", f"/projects/local/agents/{AGENT}/fail-next-version", NO_WHEEL)
    await town.image("emulator://echo?latency_ms=1")
    rollout = await town.until_phase("failed")
    assert "no matching distribution for orders==9" in rollout["because"]
    assert await town.kinds() == ["created", "failed"]
    assert await town.weights() == {"1": 100}


async def test_an_agent_that_crashes_at_start_meets_no_user(town: Town) -> None:
    await town.image("emulator://echo")
    await town.control(f"{POLICY}ready-within: 5s\n")
    await town.until_pinned("1")
    await town.image("emulator://echo?crash=true")
    rollout = await town.until_phase("failed")
    assert rollout["because"].startswith("no sandbox of version 2 was ready within 5s, stable's are ready in ")
    assert "session_creation_failed" in rollout["because"]
    assert await town.kinds() == ["created", "failed"]
    assert await town.weights() == {"1": 100}


async def test_an_unpinned_endpoint_is_pinned_again_and_the_version_it_moved_to_is_rolled_out(town: Town) -> None:
    await town.a_stable_version()
    await town.cloud.route(AGENT, Routing.of({LATEST: 100}))
    await town.image("emulator://echo?error_rate=0.5")
    await town.until_phase("rolled_back")
    assert await town.weights() == {"1": 100}


async def test_a_controller_that_is_killed_goes_on_at_the_same_step_with_nothing_lost_or_doubled(town: Town) -> None:
    await town.a_stable_version()
    await town.image("emulator://echo?latency_ms=1")
    await town.until_step(2)
    await town.kill_controller()
    assert await town.weights() == {"1": 50, "2": 50}
    await town.control()
    before = await town.rollout()
    assert before is not None
    assert before["step"] >= 2
    await town.until_phase("promoted")
    assert await town.kinds() == WALK
    ids = [event["id"] for event in await town.history()]
    assert len(ids) == len(set(ids))


async def test_a_second_hand_on_the_routing_pauses_the_rollout_and_a_person_resumes_the_plan(town: Town) -> None:
    await town.a_stable_version()
    await town.image("emulator://echo?latency_ms=1")
    await town.until_step(1)
    await town.cloud.route(AGENT, Routing.of({"1": 30, "2": 70}))
    rollout = await town.until_phase("paused")
    assert "somebody changed the routing to version 1 at 30%, version 2 at 70%" in rollout["because"]
    assert await town.weights() == {"1": 30, "2": 70}
    await town.api(f"/api/v1/rollouts/{rollout['id']}:resume", {"generation": rollout["generation"]})
    await town.until_phase("promoted")
