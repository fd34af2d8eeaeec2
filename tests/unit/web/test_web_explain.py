"""Why a rollout did what it did, asked of the ops API."""

from dirty_equals import IsFloat, IsPartialDict

from small_world import SmallWorld
from unit.web.served import Web


async def test_a_rollout_is_explained_decision_by_decision(web: Web) -> None:
    world = SmallWorld(lambda _: web.store, bad_from=1)
    await world.begin()
    await world.run()

    answer = (await web.client.get("/api/v1/rollouts/r-1/explain")).json()

    assert answer == IsPartialDict(rollout="r-1", canary="2", stable="1", phase="rolled_back", policy="support")
    assert [decision["kind"] for decision in answer["decisions"]] == [
        "rollout.created",
        "rollout.started",
        "rollout.rolled_back",
    ]
    last = answer["decisions"][-1]
    assert last["computed"] == last["because"]
    assert [measured["canary"]["failures"] for measured in last["measurements"]] == [18]
    (gate,) = last["gates"]
    assert gate == IsPartialDict(gate="error-rate", verdict="fail", harm_log10=IsFloat(gt=2))
    (stratum,) = gate["strata"]
    assert stratum["at_step"] == {
        "canary_calls": 30,
        "canary_failures": 18,
        "stable_calls": 30,
        "stable_failures": 0,
    }


async def test_an_unknown_rollout_is_not_explained(web: Web) -> None:
    answer = await web.client.get("/api/v1/rollouts/nothing/explain")

    assert answer.status_code == 404
    assert "no rollout nothing" in answer.json()["detail"]
