"""The manifests are in order as kustomize renders them, and so is each check of them: planted mistakes are found."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from deployed import CHART, KUBERNETES, VARIANTS, Object, faults, kustomized, objects_in, of_kind, settings_of, validate
from environments import environment
from fences import fences
from foundry_rollouts.settings import Settings, reference
from tools.repository import ROOT, said

pytestmark = pytest.mark.timeout(600)  # the environments that hold the programs may have to be made first

#: Prints each object that it reads as the kind's model keeps it, or why not: what the model does not know is not there.
AS_MODELLED = """
import json, sys
from cloudcoil.models.prometheus_operator import v1
for each in json.load(sys.stdin):
    try:
        kept = getattr(v1, each["kind"]).model_validate(each).model_dump(mode="json", by_alias=True, exclude_unset=True)
    except ValueError as error:
        kept = str(error)
    print(json.dumps(kept))
"""


@pytest.fixture(scope="module", params=VARIANTS)
def rendered(request: pytest.FixtureRequest) -> list[Object]:
    """Return the objects of one overlay."""
    return kustomized(KUBERNETES / "overlays" / request.param)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """Return the objects of the larger installation with each component."""
    return kustomized(copied(tmp_path_factory.mktemp("everything"), "postgresql", with_components=True))


def copied(folder: Path, variant: str, *, with_components: bool = False) -> Path:
    """Return a copy of an overlay, among copies of all that it is made of."""
    shutil.copytree(KUBERNETES, folder / "kubernetes")
    overlay = folder / "kubernetes" / "overlays" / variant
    if with_components:
        names = [path.name for path in sorted((KUBERNETES / "components").iterdir())]
        with (overlay / "kustomization.yaml").open("a", encoding="utf-8") as file:
            file.writelines(["components:\n", *(f"  - ../../components/{name}\n" for name in names)])
    return overlay


def as_modelled(*objects: Object) -> list[Any]:
    """Return each object as the operator's own definition keeps it, or why the definition refuses it."""
    command = (environment("prometheus-operator"), "-c", AS_MODELLED)
    run = subprocess.run(command, input=json.dumps(objects), capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_each_object_fits_the_schema_of_its_kind(rendered: list[Object], tmp_path: Path) -> None:
    validate(rendered, tmp_path)


def test_the_house_rules_are_kept(rendered: list[Object]) -> None:
    assert list(faults(rendered)) == []


def test_the_components_fit_too(everything: list[Object], tmp_path: Path) -> None:
    validate([each for each in everything if each["kind"] != "ServiceMonitor"], tmp_path)
    assert list(faults(everything)) == []


def rules_as_shown() -> list[Object]:
    """Return the objects that the page's loop makes of the rules of Prometheus."""
    (loop,) = (fence.text for fence in fences(ROOT / "deploy" / "README.md") if "PrometheusRule" in fence.text)
    return objects_in(said("bash", "-euc", loop.replace("kubectl apply --filename -", "cat")))


def test_what_is_for_the_operator_fits_its_own_definitions(everything: list[Object]) -> None:
    monitor = of_kind(everything, "ServiceMonitor")
    misspelt, unreadable = deepcopy(monitor), deepcopy(monitor)
    misspelt["spec"]["endpoints"][0]["intervall"] = "15s"
    unreadable["spec"]["endpoints"][0]["interval"] = "15 s"
    rules = rules_as_shown()
    kept, kept_of_misspelt, why, *kept_rules = as_modelled(monitor, misspelt, unreadable, *rules)
    assert kept == monitor
    assert [each["metadata"]["name"] for each in rules] == ["foundry-rollouts-recording", "foundry-rollouts-alerts"]
    assert kept_rules == rules
    assert kept_of_misspelt == monitor != misspelt
    assert "spec.endpoints.0.interval" in why


def test_the_overlays_differ_in_what_they_are_for() -> None:
    sqlite, postgresql = (kustomized(KUBERNETES / "overlays" / variant) for variant in VARIANTS)
    of_sqlite, of_postgresql = (of_kind(each, "Deployment")["spec"] for each in (sqlite, postgresql))
    assert (of_sqlite["replicas"], of_sqlite["strategy"]["type"]) == (1, "Recreate")
    assert (of_postgresql["replicas"], of_postgresql["strategy"]["type"]) == (3, "RollingUpdate")
    assert {each["kind"] for each in postgresql} - {each["kind"] for each in sqlite} == {"Job"}
    assert {each["kind"] for each in sqlite} - {each["kind"] for each in postgresql} == {"PersistentVolumeClaim"}
    ports = [port["port"] for rule in of_kind(postgresql, "NetworkPolicy")["spec"]["egress"] for port in rule["ports"]]
    assert ports == [53, 53, 443, 5432]


def test_the_upgrade_and_the_replicas_that_wait_for_it_run_the_same_release_on_the_same_database() -> None:
    rendered = kustomized(KUBERNETES / "overlays" / "postgresql")
    pod = of_kind(rendered, "Deployment")["spec"]["template"]["spec"]
    job = of_kind(rendered, "Job", "foundry-rollouts-upgrade")["spec"]["template"]["spec"]
    containers = [*pod["initContainers"], *pod["containers"], *job["containers"]]
    assert len({each["image"] for each in containers}) == 1
    assert [each["env"] for each in containers] == [containers[0]["env"]] * 3
    assert [each["args"][:2] for each in containers] == [["db", "check"], ["serve"], ["db", "upgrade"]]


def test_a_replica_that_hangs_is_gone_before_others_have_waited_longer_than_for_a_dead_one(
    rendered: list[Object],
) -> None:
    pod = of_kind(rendered, "Deployment")["spec"]["template"]["spec"]
    lease = Settings(project_endpoint="https://a.services.ai.azure.com/api/projects/p").lease_seconds
    grace = pod["terminationGracePeriodSeconds"]
    assert pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] < grace <= lease


def test_only_settings_that_exist_are_set(rendered: list[Object]) -> None:
    assert set(settings_of(rendered)) - {setting.variable for setting in reference()} == set()


def test_an_own_overlay_is_made_as_the_page_shows(tmp_path: Path) -> None:
    page = (ROOT / "deploy" / "README.md").read_text("utf-8")
    (text,) = (
        block
        for block in re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        if "kind: Kustomization" in block
    )
    mine = copied(tmp_path, "postgresql").parent / "mine"
    mine.mkdir()
    (mine / "kustomization.yaml").write_text(text.replace("../deploy/kubernetes/", "../../"), "utf-8")
    own = kustomized(mine)
    deployment = of_kind(own, "Deployment")["spec"]
    images = {each["image"] for each in (*deployment["template"]["spec"]["containers"],)}
    assert images == {"registry.example.com/foundry-rollouts:0.1.0"}
    assert "rollouts.example.com" in settings_of(own)["FOUNDRY_ROLLOUTS_HOSTS"].split(",")
    assert settings_of(own)["FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT"].endswith("/api/projects/support")
    account = of_kind(own, "ServiceAccount")
    assert account["metadata"]["annotations"]["azure.workload.identity/client-id"].startswith("11111111-")
    assert {"Ingress", "ServiceMonitor"} <= {each["kind"] for each in own}
    assert list(faults(own)) == []


def planted(kind: str, path: str, value: Any) -> Callable[[list[Object]], None]:
    """Return a change of one object at ``path``; None takes the key away."""

    def change(objects: list[Object]) -> None:
        *before, last = path.split("/")
        there: Any = next(each for each in objects if each["kind"] == kind)
        for key in before:
            there = there[int(key) if key.isdigit() else key]
        if value is None:
            del there[last]
        else:
            there[last] = value

    return change


POD = "spec/template/spec"
CONTROLLER = f"{POD}/containers/0"


@pytest.mark.parametrize(
    ("mistake", "fault"),
    [
        (planted("Deployment", f"{POD}/securityContext/runAsNonRoot", value=False), "runAsNonRoot is not True"),
        (planted("Deployment", f"{POD}/securityContext/seccompProfile", None), "seccompProfile is not"),
        (planted("Deployment", f"{POD}/automountServiceAccountToken", None), "holds a token of the cluster"),
        (planted("Deployment", f"{POD}/serviceAccountName", "rollouts"), "there is no ServiceAccount rollouts"),
        (planted("Deployment", f"{POD}/volumes/0/configMap/name", "policies"), "there is no ConfigMap policies"),
        (planted("Deployment", f"{POD}/volumes/0/name", "others"), "there is no volume policies"),
        (planted("Deployment", f"{CONTROLLER}/securityContext/readOnlyRootFilesystem", None), "readOnlyRootFilesystem"),
        (planted("Deployment", f"{CONTROLLER}/securityContext/capabilities/drop", []), "capabilities is not"),
        (planted("Deployment", f"{CONTROLLER}/resources/limits", None), "says not what it needs"),
        (planted("Deployment", f"{CONTROLLER}/image", "foundry-rollouts:latest"), "names no release"),
        (planted("Deployment", f"{CONTROLLER}/startupProbe", None), "has no startupProbe"),
        (planted("Deployment", f"{CONTROLLER}/ports/1/name", "prometheus"), "no port metrics"),
        (planted("Job", f"{CONTROLLER}/securityContext", None), "upgrade/upgrade: readOnlyRootFilesystem"),
        (planted("Service", "spec/selector", {"app": "foundry-rollouts"}), "Service foundry-rollouts selects no Pod"),
        (
            planted("PodDisruptionBudget", "spec/selector/matchLabels", {"a": "b"}),
            "PodDisruptionBudget foundry-rollouts",
        ),
        (
            planted("NetworkPolicy", "spec/podSelector/matchLabels", {"a": "b"}),
            "NetworkPolicy foundry-rollouts selects",
        ),
        (planted("NetworkPolicy", "spec/ingress/0/ports/0/port", "web"), "NetworkPolicy foundry-rollouts: no port web"),
        (planted("ServiceMonitor", "spec/endpoints/0/port", "web"), "ServiceMonitor foundry-rollouts: no port web"),
        (planted("Ingress", "spec/rules/0/http/paths/0/backend/service/name", "web"), "no Service web with a port api"),
    ],
)
def test_a_planted_mistake_is_found(
    everything: list[Object], mistake: Callable[[list[Object]], None], fault: str
) -> None:
    objects = deepcopy(everything)
    mistake(objects)
    found = list(faults(objects))
    assert any(fault in each for each in found), found


@pytest.mark.parametrize(
    ("mistake", "complaint"),
    [
        (planted("Deployment", "spec/replica", 3), "replica"),
        (planted("Deployment", f"{CONTROLLER}/livenessProbe/httpGet/port", None), "port"),
        (planted("NetworkPolicy", "spec/policyTypes", "Egress"), "policyTypes"),
        (planted("PodDisruptionBudget", "spec/maxUnavailble", 1), "maxUnavailble"),
        (planted("Job", f"{POD}/containers", None), "containers"),
    ],
)
def test_a_planted_mistake_does_not_fit_the_schema(
    everything: list[Object], mistake: Callable[[list[Object]], None], complaint: str, tmp_path: Path
) -> None:
    objects = [each for each in deepcopy(everything) if each["kind"] != "ServiceMonitor"]
    mistake(objects)
    with pytest.raises(AssertionError, match=complaint):
        validate(objects, tmp_path)


def test_image_and_chart_are_of_the_release_that_the_repository_is_at(rendered: list[Object]) -> None:
    release = version("foundry-rollouts")
    pods = [each["spec"]["template"]["spec"] for each in rendered if each["kind"] in {"Deployment", "Job"}]
    images = {each["image"] for pod in pods for each in (*pod.get("initContainers", ()), *pod["containers"])}
    assert images == {f"foundry-rollouts:{release}"}
    (chart,) = objects_in((CHART / "Chart.yaml").read_text("utf-8"))
    assert (chart["version"], chart["appVersion"]) == (release, release)


def test_a_file_that_is_missing_is_found(tmp_path: Path) -> None:
    overlay = copied(tmp_path, "sqlite")
    (tmp_path / "kubernetes" / "base" / "everyone.yaml").unlink()
    with pytest.raises(AssertionError, match=r"everyone\.yaml"):
        kustomized(overlay)


def test_every_manifest_is_part_of_an_installation() -> None:
    """A file that no kustomization names is read by nobody."""
    for kustomization in KUBERNETES.rglob("kustomization.yaml"):
        folder = kustomization.parent
        text = kustomization.read_text("utf-8")
        (described,) = objects_in(text)
        patches = [each["path"] for each in described.get("patches", ())]
        sources = [
            file
            for each in described.get("configMapGenerator", ())
            for key in ("envs", "files")
            for file in each.get(key, ())
        ]
        named = {*described.get("resources", ()), *patches, *sources, "kustomization.yaml"}
        assert {path.name for path in folder.iterdir() if path.is_file()} <= named
