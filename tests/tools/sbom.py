"""Says what is in a release: ``python -m tools.sbom [FOLDER]`` writes a bill of materials for each image.

The form is CycloneDX. Each component has the hashes of the requirements file that the image is installed from. The same
files give the same bytes.
"""

# ruff: noqa: T201 - it speaks to a terminal
import json
import subprocess
import sys
import tomllib
from pathlib import Path

from environments import environment
from tools.repository import ROOT, said

#: What is described, and the requirements file that it is installed from.
BILLS = {"foundry-rollouts": "requirements.txt", "foundry-rollouts-demo": "requirements-demo.txt"}
#: Validates texts by the schema of CycloneDX, which the library brings; unknown keys are mistakes.
VALIDATE = """
import json, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
validator = JsonStrictValidator(SchemaVersion.V1_6)
mistakes = [validator.validate_str(text) for text in json.load(sys.stdin)]
print(json.dumps([str(mistake) if mistake else "" for mistake in mistakes]))
"""


def written(folder: Path) -> list[Path]:
    """Write the bills into ``folder`` and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    python = str(environment("sbom"))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    options = ("--pyproject", "pyproject.toml", "--output-reproducible", "--spec-version", "1.6", "--no-validate")
    paths = []
    for name, pins in BILLS.items():
        path = folder / f"{name}-{version}.cdx.json"
        quiet = (python, "-W", "ignore::UserWarning", "-m", "cyclonedx_py")  # the graph of who needs whom is not ours
        said(*quiet, "requirements", f"deploy/{pins}", *options, "--output-file", str(path))
        paths.append(path)
    return paths


def mistakes_in(*bills: str) -> list[str]:
    """Return what the schema has against the text of each bill; nothing when it fits."""
    command = [str(environment("sbom")), "-c", VALIDATE]
    run = subprocess.run(command, input=json.dumps(bills), capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found: list[str] = json.loads(run.stdout)
    return found


if __name__ == "__main__":
    for path in written(Path(*sys.argv[1:2] or ["dist"]).resolve()):
        print(path)
