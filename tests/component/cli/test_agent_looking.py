"""Looking at agents, and deciding who serves."""

import asyncio
import json
from datetime import timedelta

import pytest
from ruamel.yaml import YAML

from component.cli.engineer import Engineer
from foundry_rollouts.cli.agent.routing import last_read, refuse_where_that_cannot_help
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.errors import DriftError
from foundry_rollouts.foundry.wire import agent_details


def test_an_empty_project_is_a_sentence_and_no_failure(engineer: Engineer) -> None:
    done = engineer.run("list")
    assert (done.code, done.out, done.err) == (0, "", "the project has no agents\n")


def test_agents_are_listed_with_their_routing(engineer: Engineer) -> None:
    engineer.an_image("a")
    engineer.an_image("b")
    assert [line.split()[0] for line in engineer.well("list").lines] == ["NAME", "b", "a"]
    shown = engineer.told("list")
    assert [agent["name"] for agent in shown] == ["b", "a"]
    assert shown[1]["weights"] == {"@latest": 100}
    assert shown[1]["protocols"] == ["responses", "invocations"]


def test_yaml_tells_the_same_as_json(engineer: Engineer) -> None:
    engineer.an_image("a")
    in_yaml = YAML(typ="safe").load(engineer.well("show", "a", "--output", "yaml").out)
    assert in_yaml == engineer.told("show", "a")


def test_versions_come_newest_first_and_drafts_only_when_asked_for(engineer: Engineer) -> None:
    engineer.an_image("a")
    draft = engineer.an_image("a", "emulator://echo?latency_ms=1", "--draft")
    engineer.an_image("a", "emulator://echo?latency_ms=2")
    assert [version["version"] for version in engineer.told("versions", "a")] == ["2", "1"]
    assert [version["version"] for version in engineer.told("versions", "a", "--drafts")] == ["2", draft, "1"]
    assert [version["version"] for version in engineer.told("versions", "a", "--limit", "1")] == ["2"]


def test_values_of_environment_variables_are_never_shown(engineer: Engineer) -> None:
    engineer.an_image("a", "emulator://echo", "--env", "TOKEN=hunter2")
    for words in (("versions", "a"), ("show", "a", "--version", "1"), ("show", "a")):
        for output in ("table", "json", "yaml"):
            assert "hunter2" not in engineer.well(*words, "--output", output).out
    assert engineer.told("show", "a", "--version", "1")["environment"] == ["TOKEN"]


def test_an_error_names_code_message_request_and_what_to_do(engineer: Engineer) -> None:
    done = engineer.run("show", "nobody")
    assert (done.code, done.out, len(done.errors)) == (1, "", 1)
    assert done.err.startswith("error: agents.get: HTTP 404 not_found: Agent 'nobody' not found (request ")
    assert done.err.endswith("): check the name, 'foundry-rollouts agent list' lists the agents\n")


def test_a_split_is_set_and_read_back(engineer: Engineer) -> None:
    engineer.an_image("a")
    engineer.an_image("a", "emulator://echo?latency_ms=1")
    engineer.switch(routing_lag_seconds=0.5)
    set_to = engineer.told("route", "a", "1=90", "2=10")
    expected = {"agent": "a", "state": "enabled", "disabled_by": None, "pinned": True, "weights": {"1": 90, "2": 10}}
    assert set_to == expected
    assert engineer.told("route", "a") == set_to


def test_pin_names_the_version_that_latest_stands_for_and_latest_lets_go(engineer: Engineer) -> None:
    engineer.an_image("a")
    assert engineer.told("route", "a", "--pin")["weights"] == {"1": 100}
    assert engineer.told("route", "a", "--pin")["weights"] == {"1": 100}
    assert engineer.told("route", "a", "--latest")["weights"] == {"@latest": 100}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["1=90", "2=9"], "error: the weights add up to 99: they must add up to 100"),
        (["1=90", "1=10"], "error: version 1 is named twice: give each version one weight"),
        (["1:100"], "error: '1:100' is no weight: write VERSION=PERCENT, for example 7=90"),
        (["1=100", "--pin"], "error: one thing at a time: weights, --pin or --latest"),
    ],
)
def test_nonsense_is_refused_before_anything_is_sent(engineer: Engineer, words: list[str], line: str) -> None:
    done = engineer.run("route", "a", *words)
    assert (done.code, done.errors) == (2, [line])


def test_drafts_and_versions_that_are_not_active_take_no_traffic(engineer: Engineer) -> None:
    engineer.an_image("a")
    draft = engineer.an_image("a", "emulator://echo?latency_ms=1", "--draft")
    to_draft = engineer.run("route", "a", f"{draft}=100")
    assert to_draft.code == 2
    assert f"foundry-rollouts agent promote-draft a {draft}" in to_draft.err
    engineer.run("create", "a", "--image", "registry.example/none:1")
    assert engineer.run("route", "a", "2=100").errors == ["error: version 2 is failed: route to it once it is active"]
    assert engineer.run("route", "a", "7=100").code == 1
    assert engineer.told("route", "a")["weights"] == {"@latest": 100}


def test_routing_that_does_not_hold_is_told_as_it_was_last_seen() -> None:
    async def read() -> Routing:
        return Routing.of({"1": 100})

    seen = asyncio.run(last_read(read, lambda routing: routing.weight("2") > 0, timedelta(seconds=0.05)))
    assert seen == Routing.of({"1": 100})


def test_an_agent_is_closed_and_opened_and_both_are_read_back(engineer: Engineer) -> None:
    engineer.an_image("a")
    assert engineer.well("disable", "a").out.startswith("a is disabled: ")
    assert engineer.told("show", "a")["state"] == "disabled"
    refused = engineer.run("invoke", "a", "hello")
    assert (refused.code, refused.err.endswith(": open it with 'foundry-rollouts agent enable'\n")) == (1, True)
    assert engineer.well("enable", "a").out.startswith("a is enabled: ")
    assert engineer.well("invoke", "a", "hello").out == "hello\n"


@pytest.mark.parametrize(
    ("state", "configured", "source", "disabled_by"),
    [
        ("disabled", "enabled", "agent_instance_identity", "agent_instance_identity"),
        ("Disabled", "Enabled", None, "something else"),
        ("disabled", "disabled", "agent_instance_identity", None),
        ("enabled", "enabled", None, None),
    ],
)
def test_an_agent_that_its_identity_closes_is_not_opened_by_enabling_it(
    state: str, configured: str, source: str | None, disabled_by: str | None
) -> None:
    told = {"name": "a", "state": state, "configuration_state": configured, "state_source": source}
    assert agent_details(told).seen.disabled_by == disabled_by
    if disabled_by is None:
        refuse_where_that_cannot_help("a", disabled_by)
    else:
        with pytest.raises(DriftError, match=f"disabled by {disabled_by}: enabling it cannot help"):
            refuse_where_that_cannot_help("a", disabled_by)


def test_settings_come_from_the_environment_too(engineer: Engineer, monkeypatch: pytest.MonkeyPatch) -> None:
    engineer.an_image("a")
    monkeypatch.setenv("FOUNDRY_PROJECT_ENDPOINT", engineer.endpoint)
    monkeypatch.setenv("FOUNDRY_ROLLOUTS_CREDENTIAL", "emulator")
    done = engineer.inside("agent", "list", "--output", "json")
    assert [agent["name"] for agent in json.loads(done.out)] == ["a"]


def test_without_a_project_it_says_which_setting_is_missing(engineer: Engineer) -> None:
    done = engineer.inside("agent", "list")
    assert (done.code, len(done.errors)) == (2, 1)
    assert done.err.startswith("error: FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT: is not set")


def test_the_local_credential_is_refused_for_any_other_address(engineer: Engineer) -> None:
    words = ("--project-endpoint", "https://a.services.ai.azure.com/api/projects/p", "--credential", "emulator")
    done = engineer.inside("agent", "list", *words)
    assert (done.code, "loopback" in done.err) == (2, True)
