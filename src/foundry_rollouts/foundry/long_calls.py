"""Calls that an agent accepts and goes on with: ask how far it is, wait, cancel."""

from dataclasses import dataclass, replace
from datetime import timedelta

from foundry_rollouts.foundry.calls import Call, Reply, path_of
from foundry_rollouts.foundry.http import Transport
from foundry_rollouts.foundry.polling import Pace, read_until
from foundry_rollouts.foundry.retry import retry_after

PACE = Pace(timedelta(minutes=30), first=timedelta(seconds=1), every=timedelta(seconds=5), missing=30)

_OVER = frozenset({"completed", "failed", "cancelled", "canceled"})


@dataclass(frozen=True, slots=True)
class LongCall:
    """Which call: the id came with the answer that accepted it, and so did the session."""

    agent: str
    invocation: str
    session: str | None = None

    def path(self, *more: str) -> str:
        return path_of("agents", self.agent, "endpoint", "protocols", "invocations", self.invocation, *more)

    @property
    def params(self) -> dict[str, str]:
        return {"agent_session_id": self.session} if self.session else {}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: ``state`` is completed, failed, cancelled, or a word of the agent's own."""

    state: str
    text: str
    retry_after: timedelta | None = None

    @property
    def is_over(self) -> bool:
        return self.state in _OVER


class LongCalls:
    """Calls that go on. Every method raises CloudError."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def progress(self, call: LongCall) -> Progress:
        """Return how far ``call`` is; a 404 may mean that it is not known yet."""
        return _progress(await self._transport.request(Call("invocations.get", "GET", call.path(), params=call.params)))

    async def cancel(self, call: LongCall) -> Progress:
        path = call.path("cancel")
        return _progress(await self._transport.request(Call("invocations.cancel", "POST", path, params=call.params)))

    async def wait(self, call: LongCall, pace: Pace = PACE) -> Progress:
        """Return once the call is over, reading it as often as the cloud asks. Raises WaitTimeoutError."""
        what = f"invocation {call.invocation} of {call.agent}"
        paced = replace(pace, pause_after=lambda seen: getattr(seen, "retry_after", None))
        return await read_until(lambda: self.progress(call), lambda seen: seen.is_over, paced, what)


def _progress(reply: Reply) -> Progress:
    state = str(reply.json.get("status") or ("running" if reply.status == 202 else "completed")).lower()
    return Progress(state, reply.content.decode("utf-8", "replace"), retry_after(reply.headers))
