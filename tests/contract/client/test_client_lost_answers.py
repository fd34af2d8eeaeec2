"""What the client does when answers are lost, refused or late: nothing is done twice, nothing is left undone."""

import httpx
import pytest

from contract.client.local import LATE, MAIN, PROTOCOLS, image, two_versions
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import CloudError
from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.definition import Code, Definition
from foundry_rollouts.foundry.packaging import zipped


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": True, "applied": True},
        {"drop": True, "applied": False},
        {"status": 429, "retry_after": 0, "code": "rate_limit_exceeded"},
        {"status": 503},
    ],
)
async def test_a_change_of_routing_survives_a_fault(
    cloud: FoundryClient, control: httpx.AsyncClient, fault: dict[str, object]
) -> None:
    await two_versions(cloud)
    (await control.post("/faults", json={"operation": "agents.patch", "times": 1, **fault})).raise_for_status()
    await cloud.route("a", Routing.of({"1": 90, "2": 10}))
    assert (await cloud.agent("a")).routing == Routing.of({"1": 90, "2": 10})


async def test_a_session_whose_answer_was_lost_is_not_made_twice(
    cloud: FoundryClient, control: httpx.AsyncClient
) -> None:
    await two_versions(cloud)
    fault = {"operation": "sessions.create", "times": 1, "drop": True, "applied": True}
    (await control.post("/faults", json=fault)).raise_for_status()
    assert (await cloud.open_session("a", "1", "session-00000001")).version == "1"
    assert len([s async for s in cloud.sessions("a")]) == 1


async def test_a_version_whose_answer_was_lost_is_not_made_twice(
    cloud: FoundryClient, control: httpx.AsyncClient
) -> None:
    await cloud.api.versions.create("a", image(reply="one"))
    fault = {"operation": "versions.create", "times": 1, "drop": True, "applied": True}
    (await control.post("/faults", json=fault)).raise_for_status()
    made = await cloud.api.versions.create("a", image(reply="two"))
    assert (made.version.version, made.is_new) == ("2", True)
    assert [v.seen.version async for v in cloud.api.versions.all("a")] == ["2", "1"]


@pytest.mark.parametrize("operation", ["agents.create", "agents.update"])
async def test_code_whose_answer_was_lost_is_not_deployed_twice(
    cloud: FoundryClient, control: httpx.AsyncClient, operation: str
) -> None:
    definition = Definition(code=Code(), protocols=PROTOCOLS)
    if operation == "agents.update":
        await cloud.api.deploy.upload("a", zipped({"main.py": b"", "requirements.txt": b""}), definition)
    fault = {"operation": operation, "times": 1, "drop": True, "applied": True}
    (await control.post("/faults", json=fault)).raise_for_status()
    made = await cloud.api.deploy.upload("a", zipped({"main.py": MAIN, "requirements.txt": b""}), definition)
    assert made.is_new
    versions = [seen.seen.version async for seen in cloud.api.versions.all("a")]
    assert versions == (["1"] if operation == "agents.create" else ["2", "1"])


async def test_an_answer_that_is_dropped_is_an_error_of_ours(cloud: FoundryClient, control: httpx.AsyncClient) -> None:
    await two_versions(cloud)
    await cloud.open_session("a", "1", "session-00000001")
    (await control.post("/faults", json={"operation": "responses.create", "times": 1, "drop": True})).raise_for_status()
    with pytest.raises(CloudError) as told:
        await cloud.ask("a", "session-00000001", "hi", LATE)
    assert told.value.refusal.code == "dropped"
    assert told.value.is_ours
