"""Every block of shell in the guides does well, in order, in one bash, as a reader would copy them."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from controlled import controlled
from emulated import ECHO
from fences import SHELL, Fence, fences
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle
from foundry_rollouts.cli.demo.stage import free_port
from patience import PATIENCE
from printed import once
from shell import Bash, Outcome
from tools.repository import ROOT

pytestmark = pytest.mark.timeout(600)  # the first worker runs all blocks of a page

GUIDES = ("on-call", "policy-guide", "operating")
BLOCKS = [(name, fence) for name in GUIDES for fence in fences(ROOT / "docs" / f"{name}.md") if fence.language == SHELL]
PRINTED_SERVICE, PRINTED_FOUNDRY = "127.0.0.1:8080", "127.0.0.1:8090"
#: A trial that lasts until somebody ends it.
POLICY = """
name: support
agents: ["support-*"]
steps: [{weight: 10, min: 1h}, {weight: 100, min: 1h}]
judge: {bad: 3x + 20pp}
sources: {probe: {every: 200ms}}
gates: [{error-rate: {sources: [probe], max: 20%}}]
"""


@pytest.fixture(scope="module")
def guides(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Outcome]]:
    return lambda name: once(f"guide-{name}", tmp_path_factory, lambda folder: run(name, folder))


def run(name: str, folder: Path) -> dict[str, Outcome]:
    """Run a guide's blocks beside a local Foundry that has an agent, and beside the service unless they start it."""
    reader = folder / "reader"
    config = EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"), images="echo")
    with running(config) as foundry, served(name, foundry, folder) as server:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("FOUNDRY")}
        environment |= {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT": f"{foundry}/api/projects/local",
            "FOUNDRY_ROLLOUTS_CREDENTIAL": "emulator",
        }
        with Bash(reader, environment) as bash:
            shutil.copytree(ROOT / "deploy" / "policies", reader / "deploy" / "policies")
            return {str(fence): bash.run(elsewhere(fence.text, foundry, server)) for of, fence in BLOCKS if of == name}


@contextmanager
def served(name: str, foundry: str, folder: Path) -> Iterator[str]:
    """Have a rollout of support-eu under way, or only a free address for the service that the guide starts."""
    project = f"{foundry}/api/projects/local"
    release(project, "emulator://echo")
    if name == "operating":
        yield f"http://127.0.0.1:{free_port()}"
        return
    (folder / "service").mkdir(parents=True)
    with controlled(project, folder / "service", POLICY) as server, httpx.Client(base_url=server) as api:
        until(lambda: api.get("/api/v1/agents").json()["items"][0]["stable"] == "1")
        release(project, "emulator://echo?latency_ms=1")
        until(lambda: [each["step"] for each in api.get("/api/v1/rollouts").json()["items"]] == [1])
        yield server


def release(project: str, image: str) -> None:
    with httpx.Client(headers={"Authorization": "Bearer local"}, params={"api-version": "v1"}) as cloud:
        body = {"definition": {**ECHO, "container_configuration": {"image": image}}}
        cloud.post(f"{project}/agents/support-eu/versions", json=body).raise_for_status()


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with suppress(httpx.HTTPError, LookupError):
            if is_so():
                return
        time.sleep(0.1)
    raise AssertionError("waited in vain")


def elsewhere(text: str, foundry: str, server: str) -> str:
    """Return a block with the addresses of this test in place of those that are printed."""
    for printed, real in ((PRINTED_SERVICE, server), (PRINTED_FOUNDRY, foundry)):
        text = text.replace(printed, real.removeprefix("http://"))
    # The guide starts the service at its usual address.
    return text.replace("foundry-rollouts serve", f"foundry-rollouts serve --listen {server.removeprefix('http://')}")


@pytest.mark.parametrize(("name", "block"), BLOCKS, ids=lambda each: str(each).replace(" ", "-"))
def test_the_block_does_well(guides: Callable[[str], dict[str, Outcome]], name: str, block: Fence) -> None:
    outcome = guides(name)[str(block)]
    assert not outcome.failed, str(outcome)


def test_the_runbook_shows_what_it_says(guides: Callable[[str], dict[str, Outcome]]) -> None:
    outcomes = guides("on-call")
    assert "support-eu" in outcomes["The first minute"].output
    after = outcomes["After a rollback"].output
    assert "users have 1, you released 2, because" in after
    assert "exit code 3" in after
    assert "acknowledged it at" in after
    assert "tries version 2 again" in outcomes["After a rollback, 2"].output


def test_every_guide_has_blocks_to_run() -> None:
    assert {name for name, _ in BLOCKS} == set(GUIDES)
