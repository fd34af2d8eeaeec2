"""Images of the scheme ``emulator://`` and the in-process agents they name."""

import json
from collections.abc import Iterable

import pytest

from foundry_emulator.clock import EmulatedClock
from foundry_emulator.logs import LogTail
from foundry_emulator.sandboxes.behaviours import ImageError, behaviour_of
from foundry_emulator.sandboxes.builtin import BuiltinPlan, BuiltinSandbox
from foundry_emulator.sandboxes.contract import AgentAnswer, AgentCall, SandboxCrashedError, SandboxLostError


def a_sandbox(image: str, log: LogTail | None = None) -> BuiltinSandbox:
    clock = EmulatedClock()
    behaviour = behaviour_of(image)
    plan = BuiltinPlan(behaviour, behaviour.dice(), ("responses", "invocations"))
    return BuiltinSandbox(plan, log or LogTail(clock), clock)


async def statuses(sandbox: BuiltinSandbox, calls: Iterable[AgentCall]) -> list[int]:
    return [(await sandbox.call(call)).status for call in calls]


async def body_of(answer: AgentAnswer) -> bytes:
    return b"".join([chunk async for chunk in answer.chunks])


def a_question(text: str = "hello") -> AgentCall:
    return AgentCall("POST", "/responses", body=json.dumps({"input": text}).encode())


@pytest.mark.parametrize(
    "image",
    [
        "registry.azurecr.io/app:1",
        "emulator://unknown",
        "emulator://echo/path",
        "emulator://echo?error_rate=2",
        "emulator://echo?error_rate=often",
        "emulator://echo?eror_rate=0.1",
        "emulator://echo?seed=1&seed=2",
    ],
)
def test_an_image_that_does_not_run_here_is_refused(image: str) -> None:
    with pytest.raises(ImageError):
        behaviour_of(image)


async def test_errors_come_at_the_rate_asked_for_and_the_same_with_the_same_seed() -> None:
    image = "emulator://echo?error_rate=0.2&seed=5"
    one = await statuses(a_sandbox(image), [a_question()] * 500)
    assert 70 < one.count(500) < 130
    assert one == await statuses(a_sandbox(image), [a_question()] * 500)


async def test_an_empty_answer_is_200_and_says_failed() -> None:
    answer = await a_sandbox("emulator://echo?empty_rate=1").call(a_question())
    found = json.loads(await body_of(answer))
    assert (answer.status, found["status"], found["output"]) == (200, "failed", [])


async def test_every_call_leaves_the_access_line_of_the_hosting_library() -> None:
    log = LogTail(EmulatedClock())
    sandbox = a_sandbox("emulator://echo?log_error_rate=1", log)
    await sandbox.call(a_question())
    log.close()
    text = b"".join([frame async for frame in log.follow()]).decode()
    assert " INFO azure.ai.agentserver: Inbound POST /responses completed with status 200 in " in text
    assert " ERROR azure.ai.agentserver: " in text
    assert "Traceback (most recent call last):" in text


async def test_an_echo_takes_text_from_messages_too() -> None:
    messages = [{"role": "user", "content": [{"type": "input_text", "text": "deep"}]}]
    call = AgentCall("POST", "/responses", body=json.dumps({"input": messages}).encode())
    found = json.loads(await body_of(await a_sandbox("emulator://echo").call(call)))
    assert found["output"][0]["content"][0]["text"] == "deep"


async def test_a_crash_never_becomes_ready_and_a_stop_loses_the_call_that_waits() -> None:
    crashing = a_sandbox("emulator://echo?crash=true")
    await crashing.start()
    with pytest.raises(SandboxCrashedError):
        await crashing.become_ready()
    stopped = a_sandbox("emulator://echo?latency_ms=10000")
    await stopped.stop()
    with pytest.raises(SandboxLostError):
        await stopped.call(a_question())


@pytest.mark.parametrize(("masked", "code"), [("false", "rate_limit_exceeded"), ("true", "server_error")])
async def test_a_model_that_throttles_is_named_by_the_log_and_by_the_error_unless_that_is_masked(
    masked: str, code: str
) -> None:
    log = LogTail(EmulatedClock())
    sandbox = a_sandbox(f"emulator://echo?throttle_rate=1&throttle_is_masked={masked}", log)
    answer = await sandbox.call(a_question())
    assert (answer.status, json.loads(await body_of(answer))["error"]["code"]) == (500, code)
    assert any("openai.RateLimitError: Error code: 429" in frame.message for frame in log._frames)
