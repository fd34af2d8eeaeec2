"""The compose file is in order, and so is each check of it: planted mistakes are found."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values
from ruamel.yaml import YAML

from foundry_rollouts.settings import Settings
from tools.repository import ROOT, program, said

COMPOSE = ROOT / "deploy" / "compose"
FILE = COMPOSE / "compose.yaml"
EXAMPLE = COMPOSE / "example.env"
TEXT = FILE.read_text("utf-8")
#: Built here, so without a release.
OURS = re.compile(r"foundry-rollouts(-demo)?")


def services_of(text: str) -> dict[str, Any]:
    """Return the services of a compose file, merge keys followed."""
    loaded: dict[str, Any] = YAML(typ="safe").load(text)
    return {name: dict(service) for name, service in loaded["services"].items()}


def faults(text: str) -> Iterator[str]:
    """Yield what the schema does not ask for and we do."""
    services = services_of(text)
    for name, service in services.items():
        if "healthcheck" not in service:
            yield f"{name} has no health check"
        if not OURS.fullmatch(service["image"]) and not re.fullmatch(r"\S+:v?\d[\w.-]*", service["image"]):
            yield f"{name}: {service['image']} names no release"
        if "no-new-privileges:true" not in service.get("security_opt", ()):
            yield f"{name} may gain privileges"
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith(".") and not (COMPOSE / source).exists():
                yield f"{name} mounts {source}, which is missing"
        for port in service.get("ports", ()):
            if not port.startswith("127.0.0.1:"):
                yield f"{name} is open to other machines at {port}"
    yield from unknown_names(services)
    yield from loose_variables(text)


def unknown_names(services: dict[str, Any]) -> Iterator[str]:
    """Yield the services that are waited for or shared with and that are not there."""
    for name, service in services.items():
        wanted = set(service.get("depends_on", ()))
        wanted |= {mode.removeprefix("service:") for mode in [service.get("network_mode", "")] if ":" in mode}
        yield from (f"{name} wants {other}, which is missing" for other in sorted(wanted - set(services)))


def loose_variables(text: str) -> Iterator[str]:
    """Yield secrets that have a value in the file, and variables that the example does not name."""
    for key, value in re.findall(r"^ *(\w*(?:PASSWORD|SECRET)\w*): +([^\s#]\S*)", text, re.MULTILINE):
        if not re.match(r"\$\{\w+:\?", value):
            yield f"{key} has a default"
    named = set(re.findall(r"^(?:# )?(\w+)=", EXAMPLE.read_text("utf-8"), re.MULTILINE))
    yield from (f"{name} is not in the example" for name in sorted(set(re.findall(r"\$\{(\w+)", text)) - named))


def test_it_fits_its_schema() -> None:
    said(program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(FILE))


@pytest.mark.parametrize(
    ("good", "bad"),
    [("restart: unless-stopped", "restrat: unless-stopped"), ("cap_drop: [ALL]", "cap_drop: ALL")],
)
def test_the_schema_refuses_a_planted_mistake(good: str, bad: str, tmp_path: Path) -> None:
    assert good in TEXT
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(TEXT.replace(good, bad), "utf-8")
    command = [program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(wrong)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stdout + run.stderr


def test_it_has_what_we_ask_of_it() -> None:
    assert list(faults(TEXT)) == []


@pytest.mark.parametrize(
    ("good", "bad", "fault"),
    [
        ("postgres:18-bookworm", "postgres:latest", "database: postgres:latest names no release"),
        ("postgres:18-bookworm", "postgres", "database: postgres names no release"),
        ("${GRAFANA_PASSWORD:?choose one}", "${GRAFANA_PASSWORD:-admin}", "GF_SECURITY_ADMIN_PASSWORD has a default"),
        ("${GRAFANA_PASSWORD:?choose one}", "admin", "GF_SECURITY_ADMIN_PASSWORD has a default"),
        ("${GRAFANA_PASSWORD:?", "${GRAFANA_SECRET:?", "GRAFANA_SECRET is not in the example"),
        ("../policies:", "../polices:", "controller mounts ../polices, which is missing"),
        ('"127.0.0.1:3000:3000"', '"3000:3000"', "controller is open to other machines at 3000:3000"),
        ("service:controller", "service:control", "emulator wants control, which is missing"),
        ("    healthcheck: {disable: true}  # it ends\n", "", "upgrade has no health check"),
    ],
)
def test_a_planted_mistake_is_found(good: str, bad: str, fault: str) -> None:
    assert good in TEXT
    assert fault in list(faults(TEXT.replace(good, bad)))


@pytest.mark.parametrize("several", [False, True])
def test_the_service_reads_one_project_or_several_from_the_example(
    several: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = EXAMPLE.read_text("utf-8")
    if several:
        text = re.sub(r"^# (FOUNDRY_ROLLOUTS_PROJECT(S|_ENDPOINT)=(?!http).*)$", r"\1", text, flags=re.MULTILINE)
    (tmp_path / ".env").write_text(text, "utf-8")
    filled = dotenv_values(tmp_path / ".env")
    for name in ("FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT", "FOUNDRY_ROLLOUTS_PROJECTS"):
        assert f"{name}: ${{{name}" in TEXT
        monkeypatch.setenv(name, filled.get(name) or "")
    assert [each.name for each in Settings().watched] == (["sales", "emea"] if several else [""])


def test_grafana_finds_the_dashboards_and_the_prometheus_beside_it() -> None:
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    providers = YAML(typ="safe").load(provisioning / "dashboards" / "foundry-rollouts.yaml")["providers"]
    sources = YAML(typ="safe").load(provisioning / "datasources" / "prometheus.yaml")["datasources"]
    grafana = services_of(TEXT)["grafana"]
    mounted = dict(volume.split(":")[1::-1] for volume in grafana["volumes"])
    assert {mounted[provider["options"]["path"]] for provider in providers} == {"../grafana/dashboards"}
    assert (grafana["network_mode"], {source["url"] for source in sources}) == (
        "service:controller",
        {"http://127.0.0.1:9090"},
    )


def test_docker_reads_it_as_we_do() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is missing: the compose file is checked by its schema only")
    filled = {"POSTGRES_PASSWORD": "a", "GRAFANA_PASSWORD": "b", "FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT": "http://c"}
    words = [f"{key}={value}" for key, value in filled.items()]
    listed = said("env", *words, docker, "compose", "--file", str(FILE), "--profile", "*", "config", "--services")
    assert set(listed.split()) == set(services_of(TEXT))
