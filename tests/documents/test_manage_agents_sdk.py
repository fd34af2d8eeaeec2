"""The first document's Python, on the release of the SDK that it names, with the credential that it prints."""

import json
import subprocess
from pathlib import Path

import pytest

import python_steps
from environments import environment
from printed import a_foundry, once
from shell import Outcome, Step, steps_of

SCRIPT = Path(__file__).with_name("manage.py")
pytestmark = pytest.mark.timeout(600)  # the document's loop waits ten seconds before it asks


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    return once("manage-sdk", tmp_path_factory, run)


def run(folder: Path) -> dict[str, Outcome]:
    with a_foundry(folder) as environ:
        results = folder / "results.json"
        command: list[str | Path] = [environment("sdk-2.1"), python_steps.__file__, SCRIPT, results]
        subprocess.run(command, env={**environ, "PROJECT_ENDPOINT": environ["BASE_URL"]}, check=True)
        return {step: Outcome(*both) for step, both in json.loads(results.read_text("utf-8")).items()}


@pytest.mark.parametrize("step", steps_of(SCRIPT), ids=lambda step: step.name)
def test_the_call_does_what_the_document_says(step: Step, outcomes: dict[str, Outcome]) -> None:
    assert not outcomes[step.name].failed, str(outcomes[step.name])
