"""Every method of the official SDK about agents, sync and async, over plain HTTP and TLS: success and refusal."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from azure.ai.projects.aio.operations import AgentsOperations as AsyncAgentsOperations
from azure.ai.projects.operations import AgentsOperations

import official_sdk_plays  # noqa: F401
import official_sdk_prompt_plays  # noqa: F401
import official_sdk_use_plays  # noqa: F401
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle
from official_sdk_documented import DOCUMENTED, OTHER_FEATURES, PLAYS, documented
from official_sdk_flavours import Combination, Visitors, visitors

COMBINATIONS = ["sync over http", "async over http", "sync over tls", "async over tls"]
EVERYTHING = documented(DOCUMENTED)


@pytest.fixture(scope="module", params=COMBINATIONS)
def combination(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Combination]:
    flavour, _, carrier = request.param.partition(" over ")
    config = EmulatorConfig(
        port=0,
        tls=carrier == "tls",
        state_dir=tmp_path_factory.mktemp("state"),
        lifecycle=Lifecycle("immediate"),
        readiness_seconds=0.5,
    )
    with running(config) as url:
        yield Combination(flavour == "async", url, config.ca_path if config.tls else None)


@pytest.fixture
async def both(combination: Combination, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Visitors]:
    if combination.authority:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(combination.authority))
        monkeypatch.setenv("SSL_CERT_FILE", str(combination.authority))
    async with visitors(combination) as found:
        yield found


@pytest.mark.parametrize("name", PLAYS)
async def test_the_sdk_succeeds_and_is_refused_as_documented(name: str, both: Visitors) -> None:
    perform, shown = PLAYS[name]
    await perform(both)
    outcomes = both.sdk.outcomes
    assert shown - outcomes == set(), "documented, but not shown"
    assert outcomes - EVERYTHING == set(), "shown, but not documented"


def test_the_plays_show_all_that_is_documented() -> None:
    assert set().union(*(shown for _, shown in PLAYS.values())) == EVERYTHING


@pytest.mark.parametrize("operations", [AgentsOperations, AsyncAgentsOperations])
def test_the_documented_methods_are_those_the_sdk_has(operations: Any) -> None:
    called = {method.partition("(")[0].removeprefix("agents.") for method in DOCUMENTED if method.startswith("agents.")}
    offered = {name for name in dir(operations) if not name.startswith("_")}
    assert called == {name for name in offered if not any(feature in name for feature in OTHER_FEATURES)}
