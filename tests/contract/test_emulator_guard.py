"""The local Foundry runs what it is sent: no page in a browser may drive it, and no foreign name leads to it."""

from collections.abc import Iterator

import httpx
import pytest

from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig

PATHS = [
    ("GET", "/_emulator/health"),
    ("POST", "/_emulator/faults"),
    ("GET", "/api/projects/p/agents?api-version=v1"),
    ("POST", "/api/projects/p/agents/a/versions?api-version=v1"),
    ("OPTIONS", "/api/projects/p/agents/a/versions"),
    ("PUT", "/_arm/subscriptions/s/providers/Microsoft.Authorization/roleAssignments/r"),
]
FOREIGN_HOSTS = ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "a@127.0.0.1", "10.0.0.1", "0.0.0.0", ""]
FOREIGN_PAGES = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://localhost:3000"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"origin": "https://evil.example", "access-control-request-method": "POST"},
]


@pytest.fixture(scope="module", params=[False, True], ids=["http", "https"])
def anybody(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with (
        running(EmulatorConfig(port=0, tls=request.param)) as url,
        httpx.Client(base_url=url, headers={"Authorization": "Bearer x"}, verify=False, timeout=30) as client,
    ):
        yield client


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_foreign_name_that_points_here_is_not_answered(anybody: httpx.Client, host: str) -> None:
    for method, path in PATHS:
        answer = anybody.request(method, path, headers={"host": host})
        assert answer.status_code in {400, 421}, (method, path)


@pytest.mark.parametrize("page", FOREIGN_PAGES)
def test_a_page_of_another_site_can_call_nothing(anybody: httpx.Client, page: dict[str, str]) -> None:
    for method, path in PATHS:
        answer = anybody.request(method, path, headers=page)
        assert answer.status_code == 403, (method, path)
        assert answer.json()["error"]["code"] == "origin_not_local"
        assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:9", "[::1]:8090", "127.0.0.7"])
def test_loopback_names_are_answered(anybody: httpx.Client, host: str) -> None:
    assert anybody.get("/_emulator/health", headers={"host": host}).status_code == 200
    listed = anybody.get("/api/projects/p/agents?api-version=v1", headers={"host": host, "sec-fetch-site": "none"})
    assert listed.status_code == 200


def test_a_page_of_its_own_may_call(anybody: httpx.Client) -> None:
    host = anybody.base_url.netloc.decode()
    same = {"origin": f"{anybody.base_url.scheme}://{host}", "sec-fetch-site": "same-origin"}
    assert anybody.get("/_emulator/health", headers=same).status_code == 200
