"""The second document's commands, by ``curl`` and the tools that it names: each brings about what the document says."""

import shutil
import sys
from pathlib import Path

import pytest

from printed import NEEDS_TOOLS, a_foundry, az, once, with_programs
from shell import Bash, Outcome, Step, steps_of

SCRIPT = Path(__file__).with_name("source_code.sh")
AGENT = Path(__file__).with_name("agent") / "main.py"
pytestmark = [
    pytest.mark.timeout(900),  # the first worker runs all steps: builds from a package index, calls of az
    NEEDS_TOOLS,
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    return once("source-code", tmp_path_factory, run)


def run(folder: Path) -> dict[str, Outcome]:
    with a_foundry(folder) as environ:
        reader = with_programs({**environ, "AGENT_SOURCE": str(AGENT)}, az(), Path(sys.executable))
        with Bash(folder / "reader", reader) as bash:
            return {step.name: bash.run(step.text) for step in steps_of(SCRIPT) if is_possible(step)}


def is_possible(step: Step) -> bool:
    return step.needs is None or shutil.which(step.needs) is not None


@pytest.mark.parametrize("step", steps_of(SCRIPT), ids=lambda step: step.name)
def test_the_command_does_what_the_document_says(step: Step, outcomes: dict[str, Outcome]) -> None:
    if not is_possible(step):
        pytest.skip(f"no {step.needs} here: the step '{step.name}' of the document is left out")
    assert not outcomes[step.name].failed, str(outcomes[step.name])
