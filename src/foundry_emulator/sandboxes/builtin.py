"""An agent that runs inside the emulator: the behaviours of ``emulator://`` images, so that thousands fit."""

import asyncio
import contextlib
import json
import random
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from foundry_emulator.clock import EmulatedClock
from foundry_emulator.ids import tagged
from foundry_emulator.logs import LogTail
from foundry_emulator.sandboxes.behaviours import Behaviour
from foundry_emulator.sandboxes.contract import AgentAnswer, AgentCall, SandboxCrashedError, SandboxLostError
from foundry_emulator.sandboxes.replies import Reply, response_events, response_object, text_of

_REMEMBERED = 100
_THROTTLED = (
    "openai.RateLimitError: Error code: 429 - {'error': {'code': 'RateLimitReached', 'message': 'Your requests have"
    " exceeded token rate limit of your current pricing tier.'}}"
)
_LOGGER = "azure.ai.agentserver"
_JSON = {"content-type": "application/json"}
_EVENTS = {"content-type": "text/event-stream"}


@dataclass(frozen=True, slots=True)
class BuiltinPlan:
    """Which behaviour, whose chance, which protocols it speaks."""

    behaviour: Behaviour
    dice: random.Random
    protocols: tuple[str, ...]
    throttle: Callable[[], float] = lambda: 0.0  #: Share of calls that the model refuses, beside the behaviour's own.


class BuiltinSandbox:
    """One session of a built-in behaviour; it logs as the hosting library does."""

    def __init__(self, plan: BuiltinPlan, log: LogTail, clock: EmulatedClock) -> None:
        self._plan = plan
        self._log = log
        self._clock = clock
        self._stopped = asyncio.Event()
        self._ready_at = 0.0
        self._remembered: OrderedDict[str, dict[str, Any]] = OrderedDict()

    @property
    def is_alive(self) -> bool:
        """Tell whether it was not stopped."""
        return not self._stopped.is_set()

    @property
    def pid(self) -> int | None:
        """There is no process."""
        return None

    async def start(self) -> None:
        """Say so in the log."""
        self._ready_at = time.monotonic() + self._plan.behaviour.ready_after
        self._line("INFO", "AgentServerHost starting on 0.0.0.0:8088")

    async def become_ready(self) -> None:
        """Wait as long as the behaviour says, or crash."""
        if self._plan.behaviour.crash:
            self._trace("RuntimeError: crash=true")
            self._stopped.set()
            raise SandboxCrashedError("the entry point exited with code 1")
        await self._wait(self._ready_at - time.monotonic())
        if not self.is_alive:
            raise SandboxCrashedError("the sandbox was stopped")
        self._line("INFO", "AgentServerHost started")

    async def call(self, call: AgentCall) -> AgentAnswer:
        """Answer one request after the behaviour's latency, and write its access line."""
        started = time.perf_counter()
        await self._pause()
        status, headers, body = self._answer(call)
        self._line(
            "INFO",
            f"Inbound {call.method} {call.path} completed with status {status}"
            f" in {(time.perf_counter() - started) * 1000:.1f}ms",
        )
        return AgentAnswer(status, headers, _chunks(body))

    async def stop(self) -> None:
        """Stop; calls that wait are lost."""
        self._stopped.set()

    async def _pause(self) -> None:
        behaviour = self._plan.behaviour
        seconds = (behaviour.latency_ms + behaviour.latency_jitter_ms * self._plan.dice.random()) / 1000
        if seconds:
            await self._wait(seconds)
        if not self.is_alive:
            raise SandboxLostError("the sandbox was stopped")

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), max(seconds, 0))

    def _answer(self, call: AgentCall) -> tuple[int, dict[str, str], Iterable[bytes]]:
        protocol = call.path.split("/")[1]
        if protocol not in self._plan.protocols:
            return _refusal(404, "not_found", f"no route {call.path}")
        if call.method != "POST" or call.path != f"/{protocol}":
            return self._recall(call)
        behaviour, dice = self._plan.behaviour, self._plan.dice
        is_failing, is_empty = dice.random() < behaviour.error_rate, dice.random() < behaviour.empty_rate
        if dice.random() < behaviour.log_error_rate:
            self._trace("ValueError: simulated by log_error_rate")
        if self._is_throttled():
            self._trace(_THROTTLED)
            code = "server_error" if behaviour.throttle_is_masked else "rate_limit_exceeded"
            return _refusal(500, code, "An internal server error occurred.")
        if is_failing:
            return _refusal(500, "server_error", "An internal server error occurred.")
        if protocol == "responses":
            return self._respond(call, is_empty=is_empty)
        return self._echo(call, is_empty=is_empty)

    def _is_throttled(self) -> bool:
        # Without a rate nothing is thrown, so that seeds mean what they meant.
        rate = max(self._plan.behaviour.throttle_rate, self._plan.throttle())
        return rate > 0 and self._plan.dice.random() < rate

    def _respond(self, call: AgentCall, *, is_empty: bool) -> tuple[int, dict[str, str], Iterable[bytes]]:
        body = _object_of(call.body)
        if body is None or "input" not in body:
            return _refusal(400, "invalid_request_error", "input is required", "input")
        if not isinstance(body["input"], str | list):
            return _refusal(400, "invalid_request_error", "input must be a string or a list", "input")
        if not isinstance(body.get("stream"), bool | None):
            return _refusal(400, "invalid_request_error", "stream must be true or false", "stream")
        said = self._plan.behaviour.reply if self._plan.behaviour.reply is not None else text_of(body["input"])
        reply = Reply(tagged("caresp"), int(self._clock.now()), body.get("model"), None if is_empty else said)
        if body.get("store", True):
            self._remember(reply, body["input"])
        if body.get("stream"):
            return 200, dict(_EVENTS), response_events(reply)
        return 200, dict(_JSON), [json.dumps(response_object(reply)).encode()]

    def _echo(self, call: AgentCall, *, is_empty: bool) -> tuple[int, dict[str, str], Iterable[bytes]]:
        kind = call.headers.get("content-type", "application/octet-stream")
        reply = self._plan.behaviour.reply
        body = b"" if is_empty else call.body if reply is None else reply.encode()
        given = _object_of(call.body)
        if given and given.get("stream") and not is_empty:
            events = ({"type": "token", "content": body.decode(errors="replace")}, {"type": "done"})
            return 200, dict(_EVENTS), [f"data: {json.dumps(each)}\n\n".encode() for each in events]
        return 200, {"content-type": kind}, [body]

    def _remember(self, reply: Reply, given: object) -> None:
        self._remembered[reply.response_id] = {"response": response_object(reply), "input": given}
        while len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)

    def _recall(self, call: AgentCall) -> tuple[int, dict[str, str], Iterable[bytes]]:
        if call.path.startswith("/invocations"):
            return _refusal(404, "not_found", f"no route {call.path}")
        _, _, response_id, *rest = [*call.path.split("/"), ""][:4]
        known = self._remembered.get(response_id)
        if known is None:
            return _refusal(404, "invalid_request_error", f"Response '{response_id}' not found.", "response_id")
        match call.method, "".join(rest):
            case "GET", "":
                found: dict[str, Any] = known["response"]
            case "GET", "input_items":
                found = {"object": "list", "data": _input_items(known["input"]), "has_more": False}
            case "DELETE", "":
                del self._remembered[response_id]
                found = {"id": response_id, "object": "response.deleted", "deleted": True}
            case "POST", "cancel":
                return _refusal(400, "invalid_request_error", "Only background responses can be cancelled.")
            case _:
                return _refusal(404, "not_found", f"no route {call.path}")
        return 200, dict(_JSON), [json.dumps(found).encode()]

    def _line(self, level: str, message: str) -> None:
        at = datetime.fromisoformat(self._clock.stamp()).strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
        self._log.write("stderr", f"{at} {level} {_LOGGER}: {message}")

    def _trace(self, error: str) -> None:
        self._line("ERROR", "Unhandled exception in the agent")
        for line in ("Traceback (most recent call last):", '  File "main.py", line 1, in <module>', error):
            self._log.write("stderr", line)


def _refusal(
    status: int, code: str, message: str, param: str | None = None
) -> tuple[int, dict[str, str], Iterable[bytes]]:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    body = {"error": {"code": code, "message": message, "type": kind, "param": param}}
    return status, {**_JSON, "x-platform-error-source": "user"}, [json.dumps(body).encode()]


def _object_of(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _input_items(given: object) -> list[object]:
    if isinstance(given, list):
        return given
    return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": text_of(given)}]}]


async def _chunks(body: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in body:
        yield chunk
