"""What an endpoint speaks: shown, added, taken away, read back."""

from typing import Any

import pytest

from component.cli.conftest import Inside
from component.cli.engineer import Engineer
from component.cli.strange_cloud import a_cloud, a_version, an_agent


def protocols(engineer: Engineer, *words: str) -> list[str]:
    found: list[str] = engineer.told("protocols", "a", *words)["protocols"]
    return found


def test_protocols_are_added_set_and_taken_away_and_the_weights_stay(engineer: Engineer) -> None:
    engineer.an_image("a")
    engineer.well("route", "a", "--pin")
    assert protocols(engineer) == ["responses", "invocations"]
    assert protocols(engineer, "--remove", "responses") == ["invocations"]
    assert protocols(engineer, "--add", "responses,a2a") == ["invocations", "responses", "a2a"]
    assert sorted(protocols(engineer, "--set", "responses", "--set", "invocations")) == ["invocations", "responses"]
    assert engineer.told("route", "a")["weights"] == {"1": 100}
    assert engineer.well("protocols", "a").lines[1].split(None, 1)[0] == "protocols"
    assert engineer.run("invoke", "a", "hello").code == 0
    engineer.well("protocols", "a", "--remove", "responses")
    refused = engineer.run("invoke", "a", "hello")
    assert (refused.code, refused.errors[-1].endswith("'foundry-rollouts agent protocols AGENT --add NAME'")) == (
        1,
        True,
    )


def test_a_version_that_does_not_speak_what_is_added_is_reported(engineer: Engineer) -> None:
    engineer.told("create", "a", "--image", "emulator://echo")
    done = engineer.well("protocols", "a", "--add", "invocations")
    assert done.err == "warning: version 1 gets traffic and does not declare invocations\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--add", "smoke"], "protocol 'smoke' is unknown: known are a2a, "),
        (["--set", "responses,"], "protocol '' is unknown: known are a2a, "),
        (["--set", "responses", "--add", "mcp"], "one thing at a time"),
        (["--add", "mcp", "--remove", "mcp"], "mcp cannot be added and removed at once"),
        (["--remove", "responses,invocations"], "an endpoint without protocols serves nobody"),
    ],
)
def test_nonsense_changes_nothing(engineer: Engineer, words: list[str], says: str) -> None:
    engineer.an_image("a")
    done = engineer.run("protocols", "a", *words)
    assert (done.code, len(done.errors), says in done.err) == (2, 1, True)
    assert protocols(engineer) == ["responses", "invocations"]


@pytest.mark.parametrize(("obeys", "code"), [(True, 0), (False, 1)])
def test_a_service_of_the_older_dialect_is_sent_the_whole_list_and_one_that_takes_nothing_is_an_error(
    inside: Inside, obeys: bool, code: int
) -> None:
    served, sent = ["responses", "invocations"], []

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        nonlocal served
        if method == "PATCH":
            sent.append(body["agent_endpoint"])
            served = body["agent_endpoint"].get("protocols", served) if obeys else served
        shown = an_agent()
        return 200, a_version() if "/versions/" in path else {
            **shown,
            "agent_endpoint": {**shown["agent_endpoint"], "protocols": served},
        }

    with a_cloud(answer) as project:
        done = inside("agent", "protocols", "a", "--remove", "invocations", *project)
    assert sent == [{"protocol_configuration": {"invocations": None}}, {"protocols": ["responses"]}]
    assert done.code == code
    assert ("the cloud still reports responses, invocations" in done.err) is not obeys
