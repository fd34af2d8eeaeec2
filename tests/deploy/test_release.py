"""What a tag sets off is a workflow as GitHub understands it, and its parts are there."""

import re
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from clean_install import wheel_of
from tools.repository import EMULATOR, ROOT, program

WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"
TEXT = WORKFLOW.read_text("utf-8")


def checked(file: Path, text: str) -> int:
    """Return the exit code of the check of ``text`` as a workflow."""
    file.write_text(text, "utf-8")
    command = [program("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", str(file)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_the_workflow_fits_its_schema_and_a_planted_mistake_does_not(tmp_path: Path) -> None:
    assert checked(tmp_path / "release.yml", TEXT) == 0
    for good, bad in (("runs-on:", "run-on:"), ("id-token: write", "id-token: yes"), ("needs: test", "needs: {test}")):
        assert good in TEXT
        assert checked(tmp_path / "release.yml", TEXT.replace(good, bad)) == 1


def test_every_target_that_it_makes_is_there() -> None:
    made = {word for words in re.findall(r"run: make (.+)", TEXT) for word in words.split()}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert made == {"test", "release-check", "packages", "sbom"}
    assert made - targets == set()


def test_every_action_has_a_release_and_no_script_holds_what_others_write() -> None:
    jobs = YAML(typ="safe").load(TEXT)["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert [step["uses"] for step in steps if "uses" in step and not re.fullmatch(r"\S+@v\d+", step["uses"])] == []
    assert [step["run"] for step in steps if "${{" in step.get("run", "")] == []


def test_each_image_and_each_file_is_attested_and_signed() -> None:
    steps = YAML(typ="safe").load(TEXT)["jobs"]["release"]["steps"]
    attested = [step["with"] for step in steps if "attest-build-provenance" in step.get("uses", "")]
    assert {each.get("subject-path") or each["subject-name"] for each in attested} == {
        "dist/*",
        "${{ env.IMAGE }}",
        "${{ env.IMAGE }}-demo",
    }
    assert 'cosign sign --yes "$IMAGE@$DIGEST" "$IMAGE-demo@$DEMO_DIGEST"' in TEXT


@pytest.mark.parametrize("tag", ["v0.0.0", "", "0.1.0"])
def test_a_tag_of_another_version_is_refused(tag: str) -> None:
    run = subprocess.run(["make", "release-check", f"TAG={tag}"], cwd=ROOT, capture_output=True, check=False)
    assert run.returncode == 2
    assert b"TAG is not v" in run.stderr


@pytest.mark.parametrize("project", [ROOT, EMULATOR], ids=lambda path: path.name)
def test_the_same_sources_give_the_same_wheel(project: Path, tmp_path: Path) -> None:
    wheels = [wheel_of(project, tmp_path / name, SOURCE_DATE_EPOCH="1700000000") for name in ("one", "two")]
    assert wheels[0].read_bytes() == wheels[1].read_bytes()
