"""Whatever is sent to a route that changes something, the answer is never the emulator's own failure."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from emulated import ECHO, a_project, code_definition, make, open_session
from foundry_emulator.operations import OPERATIONS, Operation
from raw_uploads import ZIP, code, metadata, multipart

_NAMES = (
    "definition name description metadata draft state agent_endpoint agent_card version_selector kind cpu memory"
    " image version_selection_rules agent_version traffic_percentage type protocols protocol_configuration a2a"
    " responses authorization_schemes isolation_key_source container_configuration code_configuration version"
    " environment_variables protocol_versions protocol session_configuration idle_timeout_seconds id items"
    " version_indicator agent_session_id agent_reference conversation input stream model instructions tools path"
    " properties principalId roleDefinitionId operation status rate times speed value disabled_by"
    " digital_worker_type previous_response_id"
)
NAMES = st.sampled_from(_NAMES.split(" "))
WORDS = st.sampled_from(
    ["", "1", "@latest", "hosted", "prompt", "FixedRatio", "Entra", "emulator://echo", "emulator://[", "a/b:c", "\0"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | WORDS | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)
#: As no library would write them.
ODD_TEXTS = st.sampled_from(
    [
        *(b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b"\xef\xbb\xbf{}", b"{}{}", b'{"a":NaN}', b'{"a":1e999}'),
        *(b'{"a":1,"a":2}', b'{"definition":' * 150 + b"1" + b"}" * 150, b"[" * 100_000, b'{"a":' * 5000, b'{"a":-}'),
        *(b'{"a":' + b"9" * 5000 + b"}", b'{"description":"\\ud800"}', b'{"input":"\\udfff"}', b'{"path":"\\ud83d"}'),
        *("{}".encode("utf-16"), "{}".encode("utf-32-be"), b"a=1&b=2", b"--b\r\n", ZIP),
    ]
)
BODIES = VALUES.map(lambda value: json.dumps(value).encode()) | ODD_TEXTS
KINDS = st.sampled_from(
    ["application/json", "text/plain", "multipart/form-data; boundary=b", "Multipart/Form-Data", "application/x", ""]
)
CONTROL = [
    ("PUT", "/_emulator/lifecycle"),
    ("PUT", "/_emulator/clock"),
    ("PATCH", "/_emulator/switches"),
    ("POST", "/_emulator/faults"),
    ("PATCH", "/_emulator/projects/p/agents/a"),
    ("POST", "/_emulator/projects/p/agents/b/fail-next-version"),
    (
        "PUT",
        "/_arm/subscriptions/s/providers/Microsoft.Authorization/roleAssignments/"
        "6f1a3c0e-54f0-4d0e-9d8e-0b6f1c6a8f11?api-version=2022-04-01",
    ),
]
FEW = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
MANY = settings(FEW, max_examples=150)


@pytest.fixture
def plain(base_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base_url, headers={"Authorization": "Bearer x"}) as client:
        yield client
        client.post("/_emulator/reset")


@pytest.fixture
def agents(base_url: str) -> Iterator[httpx.Client]:
    """Give a client of a project in which agent ``a`` has two versions and a session."""
    with a_project(base_url) as client:
        make(client)
        make(client, latency_ms=0.1)
        open_session(client, agent_session_id="session-1")
        yield client


def refuse_failures(response: httpx.Response) -> None:
    assert response.status_code < 500, (response.status_code, response.text)
    if response.status_code >= 400:
        assert set(response.json()["error"]) >= {"code", "message"}


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.method != "GET"], ids=lambda each: each.name)
@FEW
@given(body=BODIES, kind=KINDS)
@example(body=b"[" * 100_000, kind="application/json")
@example(body=b'{"description":"\\ud800"}', kind="application/json")
@example(body=b'{"a":NaN}', kind="application/json")
def test_no_body_breaks_an_operation(agents: httpx.Client, operation: Operation, body: bytes, kind: str) -> None:
    project = str(agents.base_url).rstrip("/").rsplit("/", 1)[-1]
    parts = {"project": project, "name": "a", "session": "session-1", "version": "1"}
    path = operation.paths[0].format(**parts, response="r", conversation="c", invocation="i")
    headers = {"x-ms-code-zip-sha256": "00", "x-ms-agent-name": "a", "Content-Type": kind}
    url = agents.base_url.copy_with(raw_path=path.encode())
    query = {"api-version": "v1"} if operation.is_versioned else {}
    refuse_failures(httpx.Client.request(agents, operation.method, url, content=body, headers=headers, params=query))


@pytest.mark.parametrize(("method", "path"), CONTROL)
@FEW
@given(body=BODIES, kind=st.just("application/json") | KINDS)
def test_no_body_breaks_the_emulator_s_own_routes(
    plain: httpx.Client, method: str, path: str, body: bytes, kind: str
) -> None:
    refuse_failures(plain.request(method, path, content=body, headers={"Content-Type": kind}))


@given(raw=VALUES)
@MANY
@example(raw={"version_selector": 5})
@example(raw={"version_selector": {"version_selection_rules": {"a": 1}}})
@example(
    raw={
        "version_selector": {
            "version_selection_rules": [{"type": "FixedRatio", "agent_version": "", "traffic_percentage": 100}]
        }
    }
)
@example(raw={"authorization_schemes": [{"type": "Entra", "isolation_key_source": "Header"}]})
@example(raw={"authorization_schemes": [{"type": ["Entra"]}]})
@example(raw={"authorization_schemes": "Entra"})
@example(raw={"protocols": {"responses": {}}})
@example(raw={"protocols": [["responses"]]})
@example(raw={"protocol_configuration": ["responses"]})
@example(raw={"protocol_configuration": {"responses": 1}})
def test_no_shape_of_a_patch_breaks_the_agent(agents: httpx.Client, raw: Any) -> None:
    body = json.dumps({"agent_endpoint": raw}).encode()
    patched = agents.patch("/agents/a", content=body, headers={"Content-Type": "application/merge-patch+json"})
    assert patched.status_code in (200, 400), patched.text
    assert agents.get("/agents/a").status_code == 200
    used = agents.post("/agents/a/endpoint/sessions", json={})
    assert used.status_code in (201, 400), used.text
    agents.patch("/agents/a", json={"agent_endpoint": None})


CHANGES = st.dictionaries(NAMES, VALUES, max_size=3)


@given(change=CHANGES, inner=CHANGES)
@MANY
@example(change={"environment_variables": {"A": "x\0y"}}, inner={})
@example(change={"container_configuration": {"image": "emulator://["}}, inner={})
@example(change={"container_configuration": {"image": "emulator://echo?seed=" + "9" * 5000}}, inner={})
@example(change={"protocol_versions": [{"protocol": "responses", "version": ""}]}, inner={})
@example(change={"image": "a\0b"}, inner={})
@example(change={"cpu": ["1"], "memory": {}}, inner={})
def test_no_definition_breaks_a_version(agents: httpx.Client, change: dict[str, Any], inner: dict[str, Any]) -> None:
    made = agents.post("/agents/d/versions", content=json.dumps({"definition": {**ECHO, **change}, **inner}).encode())
    assert made.status_code in (200, 400, 404), made.text
    code_change = code_definition(
        **{"code_configuration": {**code_definition()["code_configuration"], **inner}, **change}
    )
    sent = multipart(metadata(json.dumps({"definition": code_change}).encode()), code())
    headers = {"Content-Type": "multipart/form-data; boundary=b", "x-ms-code-zip-sha256": "00"}
    assert agents.post("/agents/d/versions", content=sent, headers=headers).status_code == 400
