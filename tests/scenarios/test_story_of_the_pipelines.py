"""The steps of the GitHub action and of the Azure template, against the local Foundry."""

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from scenarios.pipeline_steps import Azure, GitHub, Runner, in_yaml
from tools.repository import ROOT, program, said
from town import AGENT, Town

pytestmark = pytest.mark.timeout(600)  # the tool is really built and installed

SWITCH = Path(__file__).with_name("switch")
BOTH = "--protocol=responses\n--protocol=invocations\n"
COMMANDS = "x ##vso[task.setvariable variable=PATH]/evil ##[add-path]/evil"


def source(town: Town, *, bad: bool = False, note: str = "") -> str:
    folder = town.folder / "source"
    shutil.copytree(SWITCH, folder, dirs_exist_ok=True)
    broken = folder if bad else folder / "nothing-of-the-kind"
    (folder / "behaviour.json").write_text(json.dumps({"broken": str(broken), "note": note}), "utf-8")
    return str(folder)


async def test_the_github_action_succeeds_for_a_good_version_and_fails_for_a_bad_one(town: Town) -> None:
    town.settings["DISCOVERY_SECONDS"] = "3600"  # the action begins the rollouts, not the listing
    await town.a_stable_version()
    github = GitHub(Runner(town.folder / "runner"))

    def run(path: str, arguments: str = "") -> Any:
        given = {"agent": AGENT, "project_endpoint": town.stage.endpoint, "server": town.stage.server}
        return github.run(path=path, credential="emulator", timeout="5m", arguments=BOTH + arguments, **given)

    good = await asyncio.to_thread(run, source(town), "--description=two words\n\n")
    rollout = await town.rollout()
    assert rollout is not None
    assert good.code == 0, good.log
    assert good.outputs == {"version": "2", "rollout": rollout["id"], "phase": "promoted", "exit-code": "0"}
    assert "rollout.promoted" in good.log
    assert f"### version 2 of {AGENT}: promoted" in good.summary
    assert rollout["author"] == "kim"
    assert (await town.history())[0]["because"] == "kim asked for version 2: o/agents@4711abc, run 7"
    assert (await town.cloud.api.versions.one(AGENT, "2")).description == "two words"

    bad = await asyncio.to_thread(run, source(town, bad=True))
    assert bad.code == 3, bad.log
    assert (bad.outputs["phase"], bad.outputs["exit-code"]) == ("rolled_back", "3")
    errors = [line for line in bad.log.splitlines() if line.startswith("::error")]
    assert [line.startswith(f"::error title=Rollout::version 3 of {AGENT}: rolled back: ") for line in errors] == [True]
    assert await town.weights() == {"2": 100}
    # Everything between these two lines is text to the runner.
    stop = re.search(r"^::stop-commands::(\w{32})$", bad.log, re.MULTILINE)
    assert stop
    assert bad.log.index("rollout.rolled_back") < bad.log.index(f"\n::{stop[1]}::\n")


async def test_the_azure_template_succeeds_for_a_good_version_and_takes_no_commands_from_a_bad_one(town: Town) -> None:
    await town.a_stable_version()
    azure = Azure(Runner(town.folder / "runner"))

    def run(path: str) -> Any:
        given = {"agent": AGENT, "projectEndpoint": town.stage.endpoint, "server": town.stage.server}
        connection = {"serviceConnection": "foundry", "checkout": str(ROOT), "credential": "emulator"}
        return azure.run(path=path, timeout="5m", arguments=BOTH, **given, **connection)

    good = await asyncio.to_thread(run, source(town))
    rollout = await town.rollout()
    assert rollout is not None
    assert good.code == 0, good.log
    assert good.outputs == {"version": "2", "id": rollout["id"], "phase": "promoted", "exitCode": "0"}

    failing = {"code": "CodeError", "message": COMMANDS}
    await town.emulate("POST", f"/projects/local/agents/{AGENT}/fail-next-version", failing)
    bad = await asyncio.to_thread(run, source(town, note="another"))
    assert bad.code == 3, bad.log
    assert (bad.outputs["phase"], bad.outputs["exitCode"]) == ("failed", "3")
    commands = re.findall(r"##(?:vso)?\[[^\]]*\]", bad.log)
    assert commands == [
        *(f"##vso[task.setvariable variable={name};isOutput=true]" for name in ("version", "id", "phase", "exitCode")),
        "##vso[task.logissue type=error]",
    ]
    assert "/evil" in bad.log


async def test_wrong_usage_fails_before_anything_is_deployed(town: Town) -> None:
    await town.a_stable_version()
    runner = Runner(town.folder / "runner")
    # What the first step would install is tried above.
    shutil.rmtree(runner.folder / "foundry-rollouts")
    (runner.folder / "foundry-rollouts").symlink_to(Path(program("python")).parent.parent)
    environment = dict.fromkeys(in_yaml("github/action.yml")["runs"]["steps"][1]["env"], "")
    environment |= {name: str(runner.folder / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    environment |= {"RUNNER_TEMP": str(runner.folder), "SOURCE": source(town), "TIMEOUT": "soon"}
    script = in_yaml("github/action.yml")["runs"]["steps"][1]["run"]
    done = await asyncio.to_thread(runner.bash, script, environment, strict=True)
    assert done.returncode == 2, done.stdout
    assert "::error title=Rollout::version ? of ?: not deployed: see the log" in done.stdout
    assert await town.rollout() is None


def test_the_action_fits_its_schema() -> None:
    said(program("check-jsonschema"), "--builtin-schema", "vendor.github-actions", "deploy/pipelines/github/action.yml")


def test_the_template_fits_its_schema(tmp_path: Path) -> None:
    template = in_yaml("azure/rollout.yml")
    del template["steps"][1]["target"]  # documented for every task, and missing in the schema of this one
    path = tmp_path / "rollout.json"
    path.write_text(json.dumps(template), "utf-8")
    said(program("check-jsonschema"), "--builtin-schema", "vendor.azure-pipelines", str(path))
