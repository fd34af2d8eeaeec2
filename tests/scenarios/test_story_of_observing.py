"""A policy that observes, on the wire: a faulty version would have been rolled back, and nothing was moved."""

from typing import Any

from fault_proxy import FaultProxy
from town import POLICY, Town

FAULTY = "emulator://echo?error_rate=0.4"
#: What only requests have that change an agent, its versions, or a session that is not the probe's own.
WRITING = (b"PATCH /", b"PUT /", b":stop?", b":disable?", b":enable?")
PROBING = b"POST /"


async def test_a_faulty_version_would_have_been_rolled_back_and_no_request_moved_anything(town: Town) -> None:
    emulator = town.stage.endpoint.partition("/api/")[0]
    wire = FaultProxy(int(emulator.rpartition(":")[2]))
    wire.seen = dict.fromkeys((*WRITING, PROBING), 0)
    await wire.start()
    try:
        town.settings = {"PROJECT_ENDPOINT": town.stage.endpoint.replace(emulator, f"http://127.0.0.1:{wire.port}")}
        await town.image("emulator://echo")
        await town.control(POLICY + "mode: observe\n")

        async def adopted() -> bool:
            return bool([each for each in (await town.api("/api/v1/agents"))["items"] if each["stable"] == "1"])

        await town.until(adopted)
        await town.image(FAULTY)
        ended: dict[str, Any] = await town.until_phase("observed")
        assert ended["would_have"] == "rolled_back"
        assert ended["because"].startswith("would have been rolled back, and nothing was moved (mode: observe): canary")
        assert (await town.kinds())[-1] == "would_have_rolled_back"
        assert await town.weights() == {"@latest": 100}
        assert {word: wire.seen[word] for word in WRITING} == dict.fromkeys(WRITING, 0)
        assert wire.seen[PROBING] > 0, "the probe's own sessions and calls were seen"
    finally:
        await wire.close()
