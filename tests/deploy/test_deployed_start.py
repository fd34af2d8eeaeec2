"""The service starts with the settings of the manifests, as the manifests promise: asked with real requests."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from controlled import controlled
from deployed import KUBERNETES, VARIANTS, kustomized, of_kind, settings_of, templated
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle
from foundry_rollouts.cli.demo.stage import free_port
from foundry_rollouts.settings import Settings
from tools.repository import program, said

pytestmark = pytest.mark.timeout(600)  # the environments that hold the programs may have to be made first

PREFIX = "FOUNDRY_ROLLOUTS_"
#: What a test must have elsewhere: its own project, addresses on loopback only, its own database.
PLACES = {"PROJECT_ENDPOINT", "LISTEN", "METRICS_LISTEN", "DATABASE_URL"}


@dataclass(frozen=True, slots=True)
class Installed:
    """The addresses of a running service, and the folder that holds its database."""

    api: str
    metrics: str
    folder: Path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """Return the service as the smaller overlay sets it, beside a local Foundry."""
    folder, metrics = tmp_path_factory.mktemp("installed"), f"127.0.0.1:{free_port()}"
    objects = kustomized(KUBERNETES / "overlays" / "sqlite")
    policies = of_kind(objects, "ConfigMap", "foundry-rollouts-policies")["data"]["everyone.yaml"]
    settings = {name.removeprefix(PREFIX): value for name, value in settings_of(objects).items()}
    chosen = {name: value for name, value in settings.items() if name not in PLACES}
    config = EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"), images="echo")
    with (
        running(config) as foundry,
        controlled(f"{foundry}/api/projects/local", folder, policies, **chosen, METRICS_LISTEN=metrics) as api,
    ):
        yield Installed(api, f"http://{metrics}", folder)


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_address_that_others_reach_is_not_refused(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(kustomized(KUBERNETES / "overlays" / variant))
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert Settings().listen == "0.0.0.0:8080"
    assert not Settings().needs_a_token
    monkeypatch.delenv(f"{PREFIX}ACCESS")
    assert Settings().needs_a_token


def test_the_upgrade_and_the_wait_for_it_are_commands_that_do_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = kustomized(KUBERNETES / "overlays" / "postgresql")
    job = of_kind(objects, "Job", "foundry-rollouts-upgrade")["spec"]["template"]["spec"]
    pod = of_kind(objects, "Deployment")["spec"]["template"]["spec"]
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", f"sqlite:///{tmp_path / 'history.db'}")
    upgrade, wait = (each["args"] for each in (*job["containers"], *pod["initContainers"]))
    assert "the database is at schema" in said(program("foundry-rollouts"), *upgrade)
    assert said(program("foundry-rollouts"), *wait) == "the database has the schema of this release\n"


def test_who_has_no_token_gets_the_answers_of_probes_and_nothing_else(installed: Installed) -> None:
    answers = {
        path: httpx.get(f"{installed.api}{path}").status_code for path in ("/healthz", "/readyz", "/api/v1/agents")
    }
    assert answers == {"/healthz": 200, "/readyz": 200, "/api/v1/agents": 401}


def test_prometheus_reads_metrics_at_their_own_address_only(installed: Installed) -> None:
    assert "foundry_rollouts_build_info" in httpx.get(f"{installed.metrics}/metrics").text
    assert httpx.get(f"{installed.metrics}/api/v1/agents").status_code == 404
    assert httpx.get(f"{installed.api}/metrics").status_code == 404


def test_the_names_of_the_service_are_answered_to_and_no_others(installed: Installed) -> None:
    names = {"foundry-rollouts": 200, "foundry-rollouts.foundry-rollouts.svc": 200, "rollouts.example.com": 421}
    asked = {name: httpx.get(f"{installed.api}/healthz", headers={"Host": name}).status_code for name in names}
    assert asked == names


def test_the_first_token_is_made_inside(installed: Installed) -> None:
    database = f"sqlite:///{installed.folder / 'history.db'}"
    create = ["token", "create", "--owner", "ann@example.com", "--role", "admin", "--database-url", database]
    token = said(program("foundry-rollouts"), *create).strip()
    answer = httpx.get(f"{installed.api}/api/v1/agents", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200


def test_helms_own_test_passes_on_a_service_that_works_and_fails_elsewhere(installed: Installed) -> None:
    pod = of_kind(templated(), "Pod", "foundry-rollouts-answers")
    python, *arguments, service = pod["spec"]["containers"][0]["command"]
    assert (python, service) == ("python", "http://foundry-rollouts")
    run = [sys.executable, *arguments]
    codes = [
        subprocess.run([*run, to], capture_output=True, check=False, timeout=110).returncode
        for to in (installed.api, installed.metrics)
    ]
    assert codes == [0, 1]
