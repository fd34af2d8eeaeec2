"""What the manifests come to: the objects that kustomize and Helm make of them, and what is wrong with such objects."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from cluster_programs import cluster_program
from tools.repository import ROOT, program, said

KUBERNETES = ROOT / "deploy" / "kubernetes"
CHART = ROOT / "deploy" / "helm" / "foundry-rollouts"
NAME = "foundry-rollouts"
VARIANTS = ("sqlite", "postgresql")
#: The two values that every installation sets, as the overlays have them.
PLACES = {
    "projectEndpoint": "https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT",
    "workloadIdentity.clientId": "00000000-0000-0000-0000-000000000000",
}
#: The oldest and the newest Kubernetes that we install on.
RELEASES = ("1.30.0", "1.37.0")

Object = dict[str, Any]


def objects_in(text: str) -> list[Object]:
    """Return the objects of a stream of YAML."""
    return [each for each in YAML(typ="safe").load_all(text) if each]


def kustomized(folder: Path) -> list[Object]:
    """Return the objects that kustomize makes of ``folder``."""
    return objects_in(said(cluster_program("kubectl"), "kustomize", str(folder)))


def templated(*arguments: str, release: str = NAME, **values: str) -> list[Object]:
    """Return the objects that Helm makes of the chart."""
    sets = [part for name, value in (PLACES | values).items() for part in ("--set", f"{name}={value}")]
    chart = [release, str(CHART), "--namespace", NAME, *sets, *arguments]
    return objects_in(said(cluster_program("helm"), "template", *chart))


def validate(objects: Sequence[Object], folder: Path) -> None:
    """Fail unless each object fits the schema of its kind, in the oldest release and the newest."""
    file = folder / "objects.yaml"
    file.write_text("\n---\n".join(map(json.dumps, objects)), "utf-8")
    for release in RELEASES:
        said(program("kubernetes-validate"), "--strict", "--quiet", "--kubernetes-version", release, str(file))


def of_kind(objects: Sequence[Object], kind: str, name: str = NAME) -> Object:
    """Return the one object of that kind and name."""
    (found,) = (each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def settings_of(objects: Sequence[Object]) -> dict[str, str]:
    """Return the variables that the controller starts with, without those that come from a Secret."""
    container = of_kind(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    maps = {each["metadata"]["name"]: each["data"] for each in objects if each["kind"] == "ConfigMap"}
    variables: dict[str, str] = {}
    for source in container["envFrom"]:
        variables |= maps[source["configMapRef"]["name"]]
    return variables | {each["name"]: each["value"] for each in container["env"] if "value" in each}


def faults(objects: Sequence[Object]) -> Iterator[str]:
    """Yield what no schema asks for and we do."""
    pods = list(_pods(objects))
    for name, pod in pods:
        yield from _of_security(name, pod)
        yield from _of_references(name, pod, objects)
        for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
            yield from _of_container(f"{name}/{container['name']}", container)
    for each in objects:
        for selector in _selectors(each):
            if not any(_matches(selector, pod["metadata"]["labels"]) for _, pod in pods):
                yield f"{each['kind']} {each['metadata']['name']} selects no Pod"
    yield from _of_ports(objects, pods)


def _pods(objects: Sequence[Object]) -> Iterator[tuple[str, Object]]:
    for each in objects:
        if each["kind"] in {"Deployment", "Job"}:
            yield each["metadata"]["name"], each["spec"]["template"]
        if each["kind"] == "Pod":
            yield each["metadata"]["name"], each


def _of_security(name: str, pod: Object) -> Iterator[str]:
    wanted = {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    context = pod["spec"].get("securityContext", {})
    yield from (f"{name}: {key} is not {value}" for key, value in wanted.items() if context.get(key) != value)
    if pod["spec"].get("automountServiceAccountToken") is not False:
        yield f"{name} holds a token of the cluster"


def _of_container(name: str, container: Object) -> Iterator[str]:
    wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    context = container.get("securityContext", {})
    yield from (f"{name}: {key} is not {value}" for key, value in wanted.items() if context.get(key) != value)
    resources = container.get("resources", {})
    if not {"cpu", "memory"} <= set(resources.get("requests", {})) or "memory" not in resources.get("limits", {}):
        yield f"{name} says not what it needs"
    if not re.fullmatch(r"\S+:\d[\w.-]*", container["image"]):
        yield f"{name}: {container['image']} names no release"
    if container["name"] == "controller":
        probes = ("startupProbe", "livenessProbe", "readinessProbe")
        yield from (f"{name} has no {probe}" for probe in probes if probe not in container)


def _of_references(name: str, pod: Object, objects: Sequence[Object]) -> Iterator[str]:
    there = {(each["kind"], each["metadata"]["name"]) for each in objects}
    for wanted in _referred(pod["spec"]):
        if wanted not in there:
            yield f"{name}: there is no {wanted[0]} {wanted[1]}"
    volumes = {volume["name"] for volume in pod["spec"].get("volumes", ())}
    for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
        mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
        yield from (f"{name}: there is no volume {each}" for each in sorted(mounted - volumes))


def _referred(spec: Object) -> Iterator[tuple[str, str]]:
    if "serviceAccountName" in spec:
        yield "ServiceAccount", spec["serviceAccountName"]
    for volume in spec.get("volumes", ()):
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
    for container in spec["containers"]:
        for source in container.get("envFrom", ()):
            if "configMapRef" in source:
                yield "ConfigMap", source["configMapRef"]["name"]


def _selectors(each: Object) -> Iterator[Mapping[str, str]]:
    spec = each.get("spec", {})
    if each["kind"] == "Service":
        yield spec["selector"]
    if each["kind"] in {"Deployment", "PodDisruptionBudget"}:
        yield spec["selector"]["matchLabels"]
    if each["kind"] == "Deployment":
        yield from (
            rule["labelSelector"]["matchLabels"] for rule in spec["template"]["spec"]["topologySpreadConstraints"]
        )
    if each["kind"] == "NetworkPolicy":
        yield spec["podSelector"]["matchLabels"]


def _matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return selector.items() <= labels.items()


def _of_ports(objects: Sequence[Object], pods: Sequence[tuple[str, Object]]) -> Iterator[str]:
    """Yield the names of ports that lead nowhere: of Services in containers, of those that name a Service's in it."""
    containers = [container for _, pod in pods for container in pod["spec"]["containers"]]
    opened = {port["name"] for container in containers for port in container.get("ports", ())}
    services = {each["metadata"]["name"]: each["spec"]["ports"] for each in objects if each["kind"] == "Service"}
    offered = {port["name"] for ports in services.values() for port in ports}
    for each in objects:
        name, spec = f"{each['kind']} {each['metadata']['name']}", each.get("spec", {})
        if each["kind"] == "Service":
            yield from (
                f"{name}: no port {port['targetPort']}" for port in spec["ports"] if port["targetPort"] not in opened
            )
        if each["kind"] == "NetworkPolicy":
            named = {port["port"] for rule in spec["ingress"] for port in rule["ports"]}
            yield from (f"{name}: no port {port}" for port in sorted(named - opened))
        if each["kind"] == "ServiceMonitor":
            named = {endpoint["port"] for endpoint in spec["endpoints"]}
            yield from (f"{name}: no port {port}" for port in sorted(named - offered))
        if each["kind"] == "Ingress":
            backends = [path["backend"]["service"] for rule in spec["rules"] for path in rule["http"]["paths"]]
            ports = ((to["name"], to["port"]["name"]) for to in backends)
            known = {(service, port["name"]) for service, there in services.items() for port in there}
            yield from (
                f"{name}: no Service {service} with a port {port}"
                for service, port in ports
                if (service, port) not in known
            )
