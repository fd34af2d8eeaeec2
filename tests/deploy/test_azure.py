"""The template for Azure is in order, as far as that can be known without Azure: planted mistakes are found.

Bicep's compiler is in no package, and neither is the schema of ``azure.yaml``: a parser, Microsoft's own types of the
resources and the rules below stand in for them.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from environments import environment
from foundry_rollouts.settings import Settings, reference
from tools.repository import ROOT, said

AZURE = ROOT / "deploy" / "azure"
INFRA = AZURE / "infra"
APP = (INFRA / "app.bicep").read_text("utf-8")
#: A mistake: the file, what is written there, what should be, and the fault that is reported.
MISTAKES = [
    ("main.bicep", "  tags: tags\n}\n", "  tags: tags\n", "syntax"),
    ("main.bicep", "    suffix: suffix\n    deployerId", "    deployerId", "shared: shared.bicep needs suffix"),
    ("main.bicep", "    image: image\n", "    image: image\n    tag: 'x'\n", "app: tag is no parameter of app.bicep"),
    (
        "main.bicep",
        "shared.outputs.identityId",
        "shared.outputs.identity",
        "shared: shared.bicep has no output identity",
    ),
    ("main.bicep", "each.project\n      principalId", "project\n      principalId", "project is declared nowhere"),
    ("main.bicep", "'network.bicep'", "'net.bicep'", "there is no module net.bicep"),
    ("main.bicep", "principalId: shared", "principalId: sharing", "sharing is declared nowhere"),
    ("shared.bicep", "param tags object\n", "param tags object\nparam more string\n", "more is used nowhere"),
    ("shared.bicep", "family: 'A'", "family: 'B'", "sku.family: 'B' is none of A"),
    ("shared.bicep", "enableRbacAuthorization: true", "enableRbac: true", "properties: no property enableRbac"),
    ("shared.bicep", "    tenantId: subscription().tenantId\n", "", "properties: tenantId is missing"),
    ("shared.bicep", "Microsoft.KeyVault/vaults@", "Microsoft.KeyVault/vault@", "say in TYPES where its types are"),
    ("shared.bicep", "vaults@2023-07-01' = ", "vaults@2023-07' = ", "2023-07 is no released version"),
    (
        "network.bicep",
        "addressPrefix: appsRange",
        "addressRange: appsRange",
        "subnets.properties: no property addressRange",
    ),
    ("network.bicep", "virtualNetwork: { id: network.id }", "virtualNetwork: 'x'", "virtualNetwork: 'x' is no object"),
    ("database.bicep", "tier: 'Burstable'", "tier: 'Bursting'", "sku.tier: 'Bursting' is none of"),
    ("database.bicep", "storageSizeGB: 32", "storageSizeGB: '32'", "storage.storageSizeGB: '32' is no int"),
    (
        "app.bicep",
        "activeRevisionsMode: 'Single'",
        "activeRevisionsMode: 'One'",
        "activeRevisionsMode: 'One' is none of",
    ),
    (
        "app.bicep",
        "keyVaultUrl: databaseSecretUrl",
        "keyVaultUri: databaseSecretUrl",
        "secrets: no property keyVaultUri",
    ),
    ("app.bicep", "            ipAddressRange: network\n", "", "ipSecurityRestrictions: ipAddressRange is missing"),
    ("app.bicep", "type: 'Startup'", "type: 'Start'", "probes.type: 'Start' is none of Liveness, Readiness, Startup"),
    ("app.bicep", "base/everyone.yaml", "base/nobody.yaml", "there is no file"),
]


def faults_of(*folders: Path) -> list[str]:
    """Return what is wrong with the templates in some folders, each after its folder's name."""
    command = [environment("azure"), ROOT / "tests" / "bicep_faults.py", *folders]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


@pytest.mark.timeout(600)
def test_the_template_is_in_order_and_planted_mistakes_are_found(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "deploy" / "kubernetes" / "base", tmp_path / "deploy" / "kubernetes" / "base")
    folders = []
    for number, (file, written, mistaken, _) in enumerate(MISTAKES):
        folder = tmp_path / "deploy" / "azure" / f"mistake-{number}"
        shutil.copytree(INFRA, folder)
        text = (folder / file).read_text("utf-8")
        assert written in text
        (folder / file).write_text(text.replace(written, mistaken, 1), "utf-8")
        folders.append(folder)
    found = faults_of(INFRA, *folders)
    assert [fault for fault in found if fault.startswith("infra/")] == []
    missed = [
        fault
        for number, (*_, fault) in enumerate(MISTAKES)
        if not any(each.startswith(f"mistake-{number}/") and fault in each for each in found)
    ]
    assert missed == [], found


def test_the_compiler_takes_the_template() -> None:
    bicep = shutil.which("bicep")
    if bicep is None:
        pytest.skip("bicep is missing, and in no package: the template for Azure is parsed and its types compared only")
    said(bicep, "build", "--stdout", str(INFRA / "main.bicep"))


def test_the_parameters_are_those_of_the_template_and_the_page_says_how_to_set_them() -> None:
    parameters = json.loads((INFRA / "main.parameters.json").read_text("utf-8"))["parameters"]
    main = (INFRA / "main.bicep").read_text("utf-8")
    declared = dict(re.findall(r"^param (\w+) \w+( =)?", main, re.MULTILINE))
    assert set(parameters) - set(declared) == set()
    assert {name for name, default in declared.items() if not default} - set(parameters) == set()
    variables = set(re.findall(r"\$\{(\w+)", json.dumps(parameters)))
    outputs = set(re.findall(r"^output (\w+)", main, re.MULTILINE))
    of_azd = {"AZURE_ENV_NAME", "AZURE_LOCATION", "AZURE_PRINCIPAL_ID"}
    page = (ROOT / "deploy" / "README.md").read_text("utf-8")
    assert {name for name in variables - outputs - of_azd if f"azd env set {name} " not in page} == set()


def test_azd_finds_the_template() -> None:
    described = YAML(typ="safe").load((AZURE / "azure.yaml").read_text("utf-8"))
    assert set(described) == {"name", "metadata", "infra"}
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", described["name"])
    infra = described["infra"]
    assert (AZURE / infra["path"] / f"{infra['module']}.{infra['provider']}").is_file()


def test_the_app_starts_with_settings_that_exist_and_asks_everybody_for_a_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    main = (INFRA / "main.bicep").read_text("utf-8")
    named = set(re.findall(r"name: '(FOUNDRY_ROLLOUTS_\w+)'", APP + main))
    assert named - {setting.variable for setting in reference()} == set()
    assert {"FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT", "FOUNDRY_ROLLOUTS_PROJECTS"} <= named
    fixed = dict(re.findall(r"\{ name: '(FOUNDRY_ROLLOUTS_\w+)', value: '([^'$]+)' \}", APP))
    monkeypatch.setenv("FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT", "https://a.services.ai.azure.com/api/projects/p")
    for name, value in fixed.items():
        monkeypatch.setenv(name, value)
    assert Settings().listen == "0.0.0.0:8080"
    assert not Settings().needs_a_token
    monkeypatch.delenv("FOUNDRY_ROLLOUTS_ACCESS")
    assert Settings().needs_a_token


def test_no_secret_is_written_down() -> None:
    texts = {path.name: path.read_text("utf-8") for path in INFRA.glob("*.bicep")}
    for name, text in texts.items():
        for parameter in re.findall(r"^param (\w*[pP]assword\w*)", text, re.MULTILINE):
            assert f"@secure()\nparam {parameter} " in text, name
        assert not re.search(r"output .*(password|listKeys)", text, re.IGNORECASE), name


def test_the_api_and_the_image_have_the_same_port() -> None:
    assert set(re.findall(r"(?:targetPort|port): (\d+)", APP)) == {"8080"}
    assert "EXPOSE 8080" in (ROOT / "Dockerfile").read_text("utf-8")
