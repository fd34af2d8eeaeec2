"""Every block of shell on the emulator's page does well, in order, in one bash, as a reader would copy them."""

import os
import socket
import sys
from pathlib import Path

import pytest

from environments import environment
from fences import SHELL, Fence, fences
from printed import NEEDS_TOOLS, once, with_programs
from shell import Bash, Outcome
from tools.repository import ROOT

PAGE = ROOT / "docs" / "emulator.md"
BLOCKS = [fence for fence in fences(PAGE) if fence.language == SHELL]
PRINTED_PORTS = ("8090", "8443")
FOREIGN = ("AZURE_", "IDENTITY_", "MSI_", "FOUNDRY", "SSL_CERT", "REQUESTS_CA", "CURL_CA")
pytestmark = [pytest.mark.timeout(600), NEEDS_TOOLS]  # the first worker runs all blocks


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    return once("emulator-page", tmp_path_factory, run)


def run(folder: Path) -> dict[str, Outcome]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    reader = with_programs(
        {**environ, "AZURE_CORE_COLLECT_TELEMETRY": "false"}, Path(sys.executable), environment("az")
    )
    ports = dict(zip(PRINTED_PORTS, free_ports(), strict=True))
    with Bash(folder / "reader", reader) as bash:
        return {str(block): bash.run(elsewhere(block.text, ports)) for block in BLOCKS}


def elsewhere(text: str, ports: dict[str, str]) -> str:
    """Return a block with free ports in place of those that are printed."""
    for printed, free in ports.items():
        text = text.replace(f"127.0.0.1:{printed}", f"127.0.0.1:{free}")
    return text


def free_ports() -> list[str]:
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        return [str(each.getsockname()[1]) for each in (one, two)]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_the_block_does_well(block: Fence, outcomes: dict[str, Outcome]) -> None:
    assert not outcomes[str(block)].failed, str(outcomes[str(block)])


def test_every_block_of_the_page_is_shell() -> None:
    assert [str(fence) for fence in fences(PAGE) if fence.language != SHELL] == []


def test_the_azure_cli_shows_the_role_by_its_name(outcomes: dict[str, Outcome]) -> None:
    assert "Azure AI Developer" in outcomes["The Azure CLI, and who calls, 2"].output
