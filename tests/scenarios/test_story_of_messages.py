"""Whoever asked to be told is told everything, and a rollout waits for nobody to listen."""

import asyncio
import base64
import hmac
import json
from dataclasses import dataclass, field
from typing import Any

from answering import a_server, say
from town import Town

KEY = b"0123456789abcdef01234567"


@dataclass
class Receiver:
    """Somebody to be told, who hangs on to every request until it listens."""

    is_listening: bool = False
    asked: int = 0
    told: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = dict(line.split(": ", 1) for line in head.strip().split("\r\n")[1:])
        body = await reader.readexactly(int(fields["Content-Length"]))
        self.asked += 1
        if not self.is_listening:
            await reader.read()
            return
        signed = f"{fields['webhook-id']}.{fields['webhook-timestamp']}.".encode() + body
        assert fields["webhook-signature"] == "v1," + base64.b64encode(hmac.digest(KEY, signed, "sha256")).decode()
        say(writer, b"thanks", "202 Accepted")
        self.told.append(json.loads(body))

    def history(self, rollout: str) -> list[dict[str, Any]]:
        """Return what was told of a rollout, in the order in which it came, repeats dropped by their id."""
        told = {message["id"]: message["data"] for message in self.told}
        return [event for event in told.values() if event["rollout"] == rollout]


async def pending(town: Town) -> float:
    text = (await town.http.get(f"{town.stage.server}/metrics")).text
    (value,) = [line.split()[1] for line in text.splitlines() if line.startswith("foundry_rollouts_outbox_pending ")]
    return float(value)


async def test_a_bad_canary_goes_back_while_nobody_listens_and_all_is_told_after_a_crash(town: Town) -> None:
    receiver = Receiver()
    async with a_server(receiver.answer) as address:
        secret = f"whsec_{base64.b64encode(KEY).decode()}"
        town.settings = {
            "WEBHOOK__URL": f"{address}/s3cret",
            "WEBHOOK__SECRET": secret,
            "WEBHOOK__TIMEOUT_SECONDS": "2",
        }
        await town.a_stable_version()
        await town.image("emulator://echo?error_rate=0.5")
        rollout = await town.until_phase("rolled_back")
        history = await town.history()
        assert [event["kind"] for event in history] == ["rollout.created", "rollout.started", "rollout.rolled_back"]
        assert receiver.asked > 0
        assert receiver.told == []

        async def is_shown() -> bool:
            return await pending(town) > len(history)

        await town.until(is_shown)
        await town.kill_controller()
        receiver.is_listening = True
        await town.control()

        async def is_told() -> bool:
            return await pending(town) == 0

        await town.until(is_told)
        assert receiver.history(rollout["id"]) == history
        assert any(message["type"] == "foundry-rollouts.agent.pinned" for message in receiver.told)

        # What is recorded now is told at once: the outbox is rung and not waited for.
        await town.image("emulator://echo?error_rate=0.6")
        again = await town.until_phase("rolled_back", "3")

        async def all_told() -> bool:
            return receiver.history(again["id"]) == await town.history("3")

        await town.until(all_told, patience=2)
    words = (town.folder / "controller.log").read_text("utf-8")
    assert "s3cret" not in words
    assert secret not in words
