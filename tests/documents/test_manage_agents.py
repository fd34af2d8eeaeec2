"""The first document's commands, by ``az``: each brings about what the document says."""

from pathlib import Path

import pytest

from printed import NEEDS_TOOLS, a_foundry, az, once, with_programs
from shell import Bash, Outcome, Step, steps_of

SCRIPT = Path(__file__).with_name("manage.sh")
pytestmark = [pytest.mark.timeout(900), NEEDS_TOOLS]  # the first worker runs all steps, each some calls of az


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    return once("manage", tmp_path_factory, run)


def run(folder: Path) -> dict[str, Outcome]:
    with a_foundry(folder) as environ:
        reader = with_programs({**environ, "AGENT_NAME": "my-agent"}, az())
        with Bash(folder / "reader", reader) as bash:
            return {step.name: bash.run(step.text) for step in steps_of(SCRIPT)}


@pytest.mark.parametrize("step", steps_of(SCRIPT), ids=lambda step: step.name)
def test_the_command_does_what_the_document_says(step: Step, outcomes: dict[str, Outcome]) -> None:
    assert not outcomes[step.name].failed, str(outcomes[step.name])
