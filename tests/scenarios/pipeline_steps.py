"""Runs the steps of a GitHub action and of an Azure Pipelines template, as far as their runners would."""

import os
import re
import subprocess
import venv
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from clean_install import closure, link
from tools.repository import ROOT

PIPELINES = ROOT / "deploy" / "pipelines"
_EXPRESSION = re.compile(r"\$\{\{ *([\w.-]+) *\}\}")
_MACRO = re.compile(r"\$\(([A-Z][\w]*\.[\w.]+)\)")
_VARIABLE = re.compile(r"^##vso\[task\.setvariable variable=(\w+);isOutput=true\](.*)$", re.MULTILINE)


def in_yaml(name: str) -> Any:
    return YAML(typ="safe").load((PIPELINES / name).read_text("utf-8"))


@dataclass(frozen=True)
class Ran:
    """The exit code of the last step, its log, and the outputs by which it is known to later ones."""

    code: int
    log: str
    outputs: Mapping[str, str]
    summary: str = ""


@dataclass
class Runner:
    """A machine with an empty home; ``folder`` holds what the steps leave there."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Have the packages there already that the first step installs, as a cache would; that step makes sure."""
        environment = self.folder / "foundry-rollouts"
        venv.EnvBuilder(with_pip=False, symlinks=True).create(environment)
        packages = next(environment.glob("lib/python*/site-packages"))
        for each in closure(distribution("foundry-rollouts"), frozenset({"postgres"})):
            link(each, packages)

    def bash(self, script: str, environment: Mapping[str, str], *, strict: bool) -> subprocess.CompletedProcess[str]:
        """Run ``script`` with one stream for its log, as a runner keeps it."""
        path = self.folder / "script.sh"
        path.write_text(script, "utf-8")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("FOUNDRY", "PYTHON", "COV"))}
        return subprocess.run(
            ["bash", "--noprofile", "--norc", *(("-eo", "pipefail") if strict else ()), str(path)],
            cwd=self.folder,
            env={**clean, **self.variables, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def expanded(text: str, values: Mapping[str, str]) -> str:
    """Put values in place of expressions; one that is not known is a mistake of the file."""
    text = _EXPRESSION.sub(lambda found: values[found[1]], text)
    return _MACRO.sub(lambda found: values[found[1]], text)


def chosen(declared: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """Return every input: as given, else its default. Raises KeyError for one that is missing or unknown."""
    assert given.keys() <= declared.keys(), given.keys() - declared.keys()
    return {name: given[name] if name in given else str(each["default"]) for name, each in declared.items()}


@dataclass
class GitHub:
    """The composite action."""

    runner: Runner

    def run(self, **given: str) -> Ran:
        action = in_yaml("github/action.yml")
        inputs = chosen(action["inputs"], {name.replace("_", "-"): value for name, value in given.items()})
        context = {
            "github.action_path": str(PIPELINES / "github"),
            "github.actor": "kim",
            "github.repository": "o/agents",
            "github.sha": "4711abc",
            "github.run_id": "7",
        } | {f"inputs.{name}": value for name, value in inputs.items()}
        files = {name: self.runner.folder / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for path in files.values():
            path.write_text("", "utf-8")
        for step in action["runs"]["steps"]:
            assert step["shell"] == "bash"
            assert "${{" not in step["run"], "an expression in a script is a way into it"
            environment = {name: expanded(value, context) for name, value in step["env"].items()}
            environment |= {"RUNNER_TEMP": str(self.runner.folder), **{name: str(path) for name, path in files.items()}}
            done = self.runner.bash(step["run"], environment, strict=True)
            if done.returncode:
                break
        outputs = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text("utf-8").splitlines())
        declared = {name: each["value"] for name, each in action["outputs"].items()}
        known = {f"steps.{step['id']}.outputs.{name}": value for name, value in outputs.items()}
        shown = {name: expanded(value, known) for name, value in declared.items()} if outputs else {}
        return Ran(done.returncode, done.stdout, shown, files["GITHUB_STEP_SUMMARY"].read_text("utf-8"))


@dataclass
class Azure:
    """The template of steps."""

    runner: Runner

    def run(self, **given: str) -> Ran:
        template = in_yaml("azure/rollout.yml")
        parameters = chosen({each["name"]: each for each in template["parameters"]}, given)
        context = {
            "Build.SourcesDirectory": str(self.runner.folder),
            "Build.RequestedFor": "Kim Example",
            "Build.Repository.Name": "agents",
            "Build.SourceVersion": "4711abc",
            "Build.BuildId": "7",
        } | {f"parameters.{name}": value for name, value in parameters.items()}
        outputs: dict[str, str] = {}
        for step in template["steps"]:
            script = step["bash"] if "bash" in step else step["inputs"]["inlineScript"]
            assert "${{" not in script, "an expression in a script is a way into it"
            assert not _MACRO.search(script)
            environment = {name: expanded(value, context) for name, value in step["env"].items()}
            environment["AGENT_TEMPDIRECTORY"] = str(self.runner.folder)
            done = self.runner.bash(script, environment, strict=False)
            outputs = dict(_VARIABLE.findall(done.stdout))
            assert outputs.keys() <= set(step.get("target", {}).get("settableVariables", ()))
            if done.returncode:
                break
        return Ran(done.returncode, done.stdout, outputs)
