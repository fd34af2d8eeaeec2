"""Words and states of the cloud that are not known here, and what azd sets: shown and taken as they are."""

from typing import Any

import pytest

from component.cli.conftest import Inside
from component.cli.engineer import Engineer
from component.cli.strange_cloud import a_cloud, a_version, an_agent

BY_IDENTITY = {"state": "disabled", "configuration_state": "enabled", "state_source": "agent_instance_identity"}
SESSION = {
    "agent_session_id": "session-4711",
    "version_indicator": {"type": "version_ref", "agent_version": "1"},
    "status": "hibernating",
    "created_at": 1780000000,
}


def test_an_unknown_status_is_shown_in_the_clouds_own_word(inside: Inside) -> None:
    odd = a_version(status="Quarantined")

    def answer(_method: str, path: str, _body: Any) -> tuple[int, Any]:
        if "/endpoint/sessions" in path:
            return 200, {"data": [SESSION], "has_more": False}
        if path.endswith("/versions"):
            return 200, {"data": [odd], "has_more": False}
        return 200, odd if "/versions/" in path else an_agent(versions={"latest": odd})

    with a_cloud(answer) as project:
        shown = [
            inside("agent", *words, *project).out
            for words in (("show", "a"), ("show", "a", "--version", "1"), ("versions", "a"), ("sessions", "list", "a"))
        ]
        refused = inside("agent", "route", "a", "1=100", *project)
    assert ["Quarantined" in each for each in shown[:3]] == [True] * 3
    assert "hibernating" in shown[3]
    assert (refused.code, refused.err) == (2, "error: version 1 is Quarantined: route to it once it is active\n")


def test_an_agent_disabled_by_its_identity_is_shown_so_and_enabling_is_no_advice(inside: Inside) -> None:
    def answer(method: str, path: str, _body: Any) -> tuple[int, Any]:
        if method == "POST" and "responses" in path:
            return 403, {"error": {"code": "agent_disabled", "message": "Agent 'a' is disabled."}}
        if path.endswith("/agents"):
            return 200, {"data": [an_agent(**BY_IDENTITY)], "has_more": False}
        return 200, {} if path.endswith(":enable") else an_agent(**BY_IDENTITY)

    with a_cloud(answer) as project:
        shown = [inside("agent", *words, *project).out for words in (("list",), ("show", "a"), ("route", "a"))]
        enabled, called = (inside("agent", *words, *project) for words in (("enable", "a"), ("invoke", "a", "hello")))
    assert all("disabled by agent_instance_identity" in each for each in shown)
    for done in (enabled, called):
        assert (done.code, len(done.errors)) == (1, 1)
        assert "a is enabled in its configuration and disabled by agent_instance_identity" in done.err
        assert "enabling it cannot help" in done.err
        assert "agent enable" not in done.err


def test_a_version_that_failed_without_a_reason_says_so_and_names_the_request(inside: Inside) -> None:
    failed = a_version(status="failed")

    def answer(method: str, path: str, _body: Any) -> tuple[int, Any]:
        is_version = method == "POST" or "/versions/" in path
        return 200, failed if is_version else an_agent(versions={"latest": failed})

    with a_cloud(answer) as project:
        shown = inside("agent", "show", "a", "--version", "1", *project)
        deployed = inside("agent", "create", "a", "--image", "registry/agent:1", "--wait", *project)
    reason = "the cloud gives no reason (request req-4711, region swedencentral)"
    assert reason in shown.out
    assert deployed.code == 3
    assert deployed.errors[-1].startswith(f"error: version 1 of a is failed: {reason}: ")


@pytest.mark.parametrize("words", [(), ("--invocations",)])
def test_a_stream_whose_connection_breaks_shows_what_came_and_names_the_request(
    inside: Inside, words: tuple[str, ...]
) -> None:
    data = "half of" if words else '{"type": "response.output_text.delta", "delta": "half of"}'
    kind = "message" if words else "response.output_text.delta"

    def answer(method: str, path: str, _body: Any) -> tuple[int, Any]:
        return 200, f"event: {kind}\ndata: {data}\n\n".encode() if method == "POST" else an_agent()

    with a_cloud(answer) as project:
        done = inside("agent", "invoke", "a", "{}", "--stream", *words, *project)
    assert (done.code, done.out) == (1, "half of\n")
    assert "no answer cut_off: the connection broke (RemoteProtocolError) (request req-4711, region" in done.errors[-1]
    assert len(done.errors) == 1


@pytest.mark.parametrize("words", [("list",), ("invoke", "a", "hello"), ("identity", "a")])
def test_without_a_login_there_is_one_line_that_says_how_to_sign_in(
    inside: Inside, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    # Nobody is asked for a token: no command line, no broker, and no managed identity that would be waited for.
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    done = inside("agent", *words, "--project-endpoint", "https://127.0.0.1:1/api/projects/p")
    assert (done.code, done.out, len(done.errors)) == (1, "", 1), done.err
    assert done.err.startswith("error: ")
    assert done.err.endswith(": sign in, for example with 'az login', or name another --credential\n")


def test_none_of_many_credentials_is_one_sentence(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "dev")
    monkeypatch.setenv("PATH", "/nowhere")
    done = inside("agent", "list", "--project-endpoint", "https://127.0.0.1:1/api/projects/p")
    assert done.errors == [
        "error: no login to Azure was found: sign in, for example with 'az login', or name another --credential"
    ]


def test_the_endpoint_is_taken_from_what_azd_sets(engineer: Engineer, monkeypatch: pytest.MonkeyPatch) -> None:
    engineer.an_image("a")
    for name in ("AZURE_AI_PROJECT_ENDPOINT", "FOUNDRY_PROJECT_ENDPOINT"):
        monkeypatch.setenv(name, engineer.endpoint)
        assert "a" in engineer.inside("agent", "list", "--credential", "emulator").out
        monkeypatch.setenv(name, "http://127.0.0.1:1/api/projects/p")


def test_variables_come_from_an_env_file_and_reserved_ones_are_left_out(engineer: Engineer) -> None:
    lines = (
        "# settings\nexport LEVEL=info\nGREETING='good day'\nFOUNDRY_PROJECT_ENDPOINT=https://x\nPORT=1\n"
        "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318\nURL=${LEVEL}/x\n"
    )
    (engineer.folder / "dev.env").write_text(f"\ufeff{lines}", "utf-8")
    words = ("--env-file", "dev.env", "--env", "LEVEL=debug")
    for made in (("create", "a", "--image", "emulator://echo"), ("deploy", str(engineer.some_code("a")))):
        done = engineer.well(*made, *words)
        assert "left out of dev.env, for the cloud reserves them: FOUNDRY_PROJECT_ENDPOINT, PORT" in done.err
    shown = engineer.told("show", "a", "--version", "2")
    assert shown["environment"] == ["GREETING", "LEVEL", "OTEL_EXPORTER_OTLP_ENDPOINT", "URL"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"LEVEL=info\nnot a pair =\n", "dev.env:2: this is no NAME=VALUE"),
        (b"LEVEL\n", "dev.env: LEVEL has no value: write LEVEL=VALUE, or leave it out"),
        (b"\xff\xfe\xff", "dev.env: it is no UTF-8 text"),
    ],
)
def test_an_env_file_that_is_none_is_refused_before_anything_is_sent(
    engineer: Engineer, text: bytes, says: str
) -> None:
    (engineer.folder / "dev.env").write_bytes(text)
    done = engineer.run("create", "a", "--image", "emulator://echo", "--env-file", "dev.env")
    assert (done.code, len(done.errors), says in done.err) == (2, 1, True)
    missing = engineer.run("create", "a", "--image", "emulator://echo", "--env-file", "no.env")
    assert (missing.code, missing.errors) == (2, ["error: --env-file no.env: No such file or directory"])


@pytest.mark.parametrize(
    ("end", "says"),
    [
        ({"status": "evaporated"}, "evaporated: the response is evaporated, without a reason"),
        ({"status": {"a": 1}}, "{'a': 1}: the response is {'a': 1}, without a reason"),
        ({"status": "failed", "error": "out of tea"}, "failed: out of tea"),
        ({"status": "completed", "error": {"code": "x\x1b[2J", "message": "a\nerror: b"}}, "x\\x1b[2J: a error: b"),
    ],
)
def test_a_response_that_ends_in_unknown_words_is_shown_and_no_success(
    inside: Inside, end: dict[str, Any], says: str
) -> None:
    message = {"type": "message", "content": [{"type": "output_text", "text": "half of it"}]}
    with a_cloud(lambda *_: (200, {"object": "response", "id": "caresp_1", "output": [message], **end})) as project:
        done = inside("agent", "invoke", "a", "hello", *project)
    assert (done.code, done.out, len(done.errors)) == (1, "half of it\n", 1)
    assert done.errors[0].startswith(f"error: responses.create: HTTP 200 {says} (request req-4711, ")
