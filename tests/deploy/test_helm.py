"""The chart renders what kustomize renders, refuses values that cannot be meant, and planted mistakes are found."""

import re
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from cluster_programs import cluster_program
from deployed import CHART, KUBERNETES, NAME, PLACES, VARIANTS, Object, faults, kustomized, of_kind, templated, validate
from foundry_rollouts.policies.load import policies_in
from foundry_rollouts.settings import Settings
from tools.repository import said

pytestmark = pytest.mark.timeout(600)  # the environments that hold the programs may have to be made first

#: What one way of installing adds and the other has no use for.
OF_HELM = {"app.kubernetes.io/managed-by", "app.kubernetes.io/version"}


#: The address of a project.
ONE = "https://contoso.services.ai.azure.com/api/projects/sales"


def as_compared(objects: list[Object]) -> dict[tuple[str, str], Object]:
    """Return objects by kind and name, without what only tells who made them, and without the test's Pod."""
    compared = {}
    for each in deepcopy(objects):
        if each["kind"] not in {"Namespace", "Pod"}:
            _make_comparable(each)
            each["metadata"].pop("namespace", None)
            compared[each["kind"], each["metadata"]["name"]] = each
    return compared


def _make_comparable(node: Any) -> None:
    """Take away what is of the tool, and the hash that kustomize gives a name; put in order what has no order."""
    if isinstance(node, list):
        for each in node:
            _make_comparable(each)
    if not isinstance(node, dict):
        return
    for key in {"labels", "annotations"} & set(node):
        node[key] = {name: value for name, value in node[key].items() if not _is_of_helm(name)}
        if not node[key]:
            del node[key]
    for key in {"volumes", "volumeMounts"} & set(node):
        node[key].sort(key=lambda each: each["name"])
    if isinstance(node.get("name"), str):
        node["name"] = re.sub(rf"^({NAME})-[a-z0-9]{{10}}$", r"\1", node["name"])
    for value in node.values():
        _make_comparable(value)


def _is_of_helm(name: str) -> bool:
    return name in OF_HELM or name.startswith(("helm.sh/", "checksum/"))


def test_the_chart_is_well() -> None:
    sets = [part for name, value in PLACES.items() for part in ("--set", f"{name}={value}")]
    said(cluster_program("helm"), "lint", "--strict", str(CHART), *sets)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_chart_renders_what_the_overlay_renders(variant: str, tmp_path: Path) -> None:
    chart = templated(**{"database.kind": variant})
    validate(chart, tmp_path)
    assert list(faults(chart)) == []
    assert as_compared(chart) == as_compared(kustomized(KUBERNETES / "overlays" / variant))


def test_ingress_and_service_monitor_are_those_of_the_components() -> None:
    chart = as_compared(templated(**{"ingress.enabled": "true", "serviceMonitor.enabled": "true"}))
    for kind, component in (("Ingress", "ingress"), ("ServiceMonitor", "service-monitor")):
        assert {key: each for key, each in chart.items() if key[0] == kind} == as_compared(
            kustomized(KUBERNETES / "components" / component)
        )


def test_a_planted_difference_is_found() -> None:
    chart = as_compared(templated())
    other = as_compared(templated(**{"resources.limits.memory": "1Gi"}))
    assert {key for key in chart if chart[key] != other[key]} == {("Deployment", NAME)}


def test_the_policies_of_both_are_the_same_and_in_order() -> None:
    ours = KUBERNETES / "base" / "everyone.yaml"
    assert (CHART / "files" / "everyone.yaml").read_bytes() == ours.read_bytes()
    (policy,) = policies_in(ours)
    assert (policy.name, policy.trigger.value) == ("everyone", "manual")


def test_other_values_lead_where_they_should() -> None:
    objects = templated(
        **{
            "settings.LEASE_SECONDS": "60",
            "settings.METRICS_ACCESS": "token",
            "serviceMonitor.enabled": "true",
            "serviceMonitor.tokenSecret": "viewer",
            "ingress.enabled": "true",
            "ingress.host": "rollouts.example.org",
            "trustedProxies": "{10.244.0.0/16,10.0.0.1}",
            "image.tag": "9.9.9",
        },
        release="mine",
    )
    name = "mine-foundry-rollouts"
    settings = of_kind(objects, "ConfigMap", name)["data"]
    assert settings["FOUNDRY_ROLLOUTS_LEASE_SECONDS"] == "60"
    assert settings["FOUNDRY_ROLLOUTS_METRICS_ACCESS"] == "token"
    assert settings["FOUNDRY_ROLLOUTS_TRUSTED_PROXIES"] == "10.244.0.0/16,10.0.0.1"
    assert {name, f"{name}.{NAME}.svc", "rollouts.example.org"} <= set(settings["FOUNDRY_ROLLOUTS_HOSTS"].split(","))
    (endpoint,) = of_kind(objects, "ServiceMonitor", name)["spec"]["endpoints"]
    assert endpoint["authorization"] == {"credentials": {"name": "viewer", "key": "token"}}
    (container,) = of_kind(objects, "Deployment", name)["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "foundry-rollouts:9.9.9"
    assert list(faults(objects)) == []


def test_several_projects_take_the_place_of_the_one_and_the_service_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"projectEndpoint": "", "projects.sales.endpoint": ONE, "projects.emea.endpoint": f"{ONE}-eu"}
    objects = templated(**given)
    settings = of_kind(objects, "ConfigMap")["data"]
    assert "FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT" not in settings
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert {each.name: each.endpoint for each in Settings().watched} == {"sales": ONE, "emea": f"{ONE}-eu"}
    assert list(faults(objects)) == []
    sets = [part for name, value in {**PLACES, **given}.items() for part in ("--set", f"{name}={value}")]
    install = ["install", "mine", str(CHART), "--dry-run=client", *sets]
    notes = said(cluster_program("helm"), *install).partition("\nNOTES:\n")[2]
    assert " watches the projects emea, sales." in notes


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"projectEndpoint": ""}, "projectEndpoint: set the address"),
        ({"projectEndpoint": "http://ACCOUNT.services.ai.azure.com"}, "projectEndpoint"),
        ({"projects.sales.endpoint": ONE}, "projectEndpoint: is set beside projects"),
        ({"projectEndpoint": "", "projects.Sales.endpoint": ONE}, "projects"),
        ({"projectEndpoint": "", "projects.sales.policies": "sales.yaml"}, "endpoint"),
        ({"workloadIdentity.clientId": ""}, "set the client id"),
        ({"workloadIdentity.clientId": "mine"}, "clientId"),
        ({"database.kind": "mysql"}, "database/kind"),
        ({"replicas": "2"}, "replicas"),
        ({"replica": "3"}, "replica"),
        ({"settings.lease": "3"}, "settings"),
        ({"policies.everyone": "text"}, "policies"),
        ({"trustedProxies": "{ingress}"}, "trustedProxies"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(values: dict[str, str], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        templated(**values)


def test_a_planted_mistake_in_a_template_is_found(tmp_path: Path) -> None:
    broken = tmp_path / NAME
    shutil.copytree(CHART, broken)
    template = broken / "templates" / "services.yaml"
    template.write_text(
        template.read_text("utf-8").replace('"foundry-rollouts.own"', '"foundry-rollouts.mine"'), "utf-8"
    )
    sets = [part for name, value in PLACES.items() for part in ("--set", f"{name}={value}")]
    with pytest.raises(AssertionError, match=r"foundry-rollouts\.mine"):
        said(cluster_program("helm"), "lint", "--strict", str(broken), *sets)


def test_what_helm_prints_at_the_end_leads_to_what_it_made() -> None:
    sets = [part for name, value in PLACES.items() for part in ("--set", f"{name}={value}")]
    install = ["install", "mine", str(CHART), "--dry-run=client", "--namespace", "rollouts", *sets]
    notes = said(cluster_program("helm"), *install).partition("\nNOTES:\n")[2]
    assert "kubectl --namespace rollouts exec deployment/mine-foundry-rollouts --container controller" in notes
    assert "token create --owner ann@example.com --role admin" in notes
    assert "agent route NAME --latest" in notes
    assert "The volume mine-foundry-rollouts stays" in notes


def test_what_runs_before_and_after_is_a_hook() -> None:
    objects = templated(**{"database.kind": "postgresql"})
    annotated = {each["kind"]: each["metadata"].get("annotations", {}) for each in objects}
    hooks = {kind: each["helm.sh/hook"] for kind, each in annotated.items() if "helm.sh/hook" in each}
    assert hooks == {"Job": "pre-install,pre-upgrade", "Pod": "test"}
