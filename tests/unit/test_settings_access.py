"""Who may come in, and by which address: what is refused, and what follows from what is set."""

import os
from pathlib import Path

import pytest

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.errors import UsageError
from foundry_rollouts.settings import PREFIX, Settings, load

LOCAL = "http://127.0.0.1:8090/api/projects/local"
TENANT = "11111111-2222-3333-4444-555555555555"
ENTRA = {"ENTRA__TENANT": TENANT, "ENTRA__CLIENT_ID": "c"}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Begin in an empty folder with no variable of ours set."""
    for name in list(os.environ):
        if name.startswith("FOUNDRY_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def loaded(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(PREFIX + name, value)
    return load(project_endpoint=LOCAL)


def refused(monkeypatch: pytest.MonkeyPatch, **values: str) -> str:
    with pytest.raises(UsageError) as error:
        loaded(monkeypatch, **values)
    (line,) = str(error.value).splitlines()
    return line


@pytest.mark.parametrize("listen", ["0.0.0.0:8080", "[::]:8080", "10.0.0.7:80", "rollouts.internal:80"])
@pytest.mark.parametrize(
    "more", [{}, {"METRICS_ACCESS": "token"}, {"HOSTS": "rollouts.example.com"}, {"TRUSTED_PROXIES": "10.0.0.2"}]
)
def test_an_address_that_others_reach_is_open_to_nobody_and_needs_a_token(
    monkeypatch: pytest.MonkeyPatch, listen: str, more: dict[str, str]
) -> None:
    settings = loaded(monkeypatch, LISTEN=listen, **more)
    assert (settings.is_open, settings.needs_a_token, settings.are_metrics_open) == (False, True, False)


@pytest.mark.parametrize("more", [{"ACCESS": "required"}, ENTRA])
def test_whoever_asks_people_who_they_are_may_listen_anywhere(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str]
) -> None:
    settings = loaded(monkeypatch, LISTEN="0.0.0.0:8080", **more)
    assert (settings.is_open, settings.needs_a_token, settings.host) == (False, False, "0.0.0.0")


def test_this_machine_alone_needs_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not loaded(monkeypatch, LISTEN="127.0.0.2:8080").needs_a_token


@pytest.mark.parametrize(
    ("more", "is_open"),
    [({}, True), ({"ACCESS": "required"}, False), (ENTRA, False), ({"TRUSTED_PROXIES": "127.0.0.1"}, False),
     ({"HOSTS": "rollouts.example.com"}, False), ({"METRICS_LISTEN": "0.0.0.0:9090"}, True)],
)  # fmt: skip
def test_this_machine_may_do_everything_while_nothing_of_the_kind_is_set(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str], is_open: bool
) -> None:
    assert loaded(monkeypatch, **more).is_open is is_open


@pytest.mark.parametrize(
    ("more", "are_open"),
    [({}, True), ({"METRICS_LISTEN": "127.0.0.2:9090"}, True), ({"METRICS_LISTEN": "0.0.0.0:9090"}, False),
     ({"METRICS_LISTEN": "0.0.0.0:9090", "METRICS_ACCESS": "open"}, True), ({"METRICS_ACCESS": "token"}, False)],
)  # fmt: skip
def test_metrics_that_others_reach_are_for_viewers_unless_they_are_opened(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str], are_open: bool
) -> None:
    assert loaded(monkeypatch, **more).are_metrics_open is are_open


@pytest.mark.parametrize(
    ("name", "value", "because"),
    [
        ("METRICS_LISTEN", "9090", "is not an address to listen on"),
        ("METRICS_ACCESS", "closed", "write open or token"),
        ("ACCESS", "off", "write auto or required"),
        ("TRUSTED_PROXIES", "proxy.internal", "'proxy.internal' is no address and no network"),
        ("TRUSTED_PROXIES", "10.0.0.2, 0.0.0.0/0", "'0.0.0.0/0' is everybody"),
        ("TRUSTED_PROXIES", "*", "'*' is no address and no network"),
        ("BASE_PATH", "rollouts", "'rollouts' is no path"),
        ("BASE_PATH", "/a//b", "is no path"),
        ("BASE_PATH", "//evil.example", "is no path"),
        ("HOSTS", "https://a.example", "is no host name"),
        ("HOSTS", "*.example", "is no host name"),
        ("REQUESTS_PER_SECOND", "0", "write at least 0.1"),
    ],
)
def test_a_wrong_value_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str, because: str) -> None:
    line = refused(monkeypatch, **{name: value})
    assert line.startswith(f"{PREFIX}{name}: ")
    assert because in line


@pytest.mark.parametrize(
    ("name", "value", "because"),
    [
        ("ENTRA__TENANT", "common", "is not the id of one directory"),
        ("ENTRA__TENANT", "contoso.onmicrosoft.com", "is not the id of one directory"),
        ("ENTRA__AUTHORITY", "http://login.example", "would fetch the keys of tokens in the clear"),
        ("ENTRA__AUTHORITY", "login.example", "is not the address of an issuer"),
        ("ENTRA__ROLES", "Rollouts.Root=root", "is not VALUE=ROLE with a role of caller, viewer, operator, admin"),
        ("ENTRA__ROLES", "=admin", "is not VALUE=ROLE"),
        ("ENTRA__CLIENT_ID", "", "is set by half"),
    ],
)
def test_a_wrong_provider_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str, because: str) -> None:
    assert because in refused(monkeypatch, **{**ENTRA, name: value})


def test_a_tenant_says_whose_tokens_are_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    entra = loaded(monkeypatch, **ENTRA, ENTRA__ROLES="Boss=admin, Reader=viewer").entra
    assert entra.issuer == f"https://login.microsoftonline.com/{TENANT}/v2.0"
    assert entra.issuers == (entra.issuer, f"https://sts.windows.net/{TENANT}/")
    assert entra.audiences == ("c", "api://c")
    assert entra.granted == {"Boss": Role.ADMIN, "Reader": Role.VIEWER}


def test_an_authority_of_ones_own_is_the_only_issuer(monkeypatch: pytest.MonkeyPatch) -> None:
    entra = loaded(monkeypatch, ENTRA__AUTHORITY="https://login.example/", ENTRA__CLIENT_ID="c").entra
    assert entra.issuers == ("https://login.example",)


def test_the_secret_of_the_app_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "s3cret" not in repr(loaded(monkeypatch, **ENTRA, ENTRA__CLIENT_SECRET="s3cret"))


def test_lists_are_read_with_spaces_and_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch, HOSTS=" A.example , b.example,", TRUSTED_PROXIES="10.0.0.2, fd00::/64")
    assert settings.host_names == {"a.example", "b.example", "127.0.0.1"}
    assert settings.proxies == ("10.0.0.2", "fd00::/64")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://rollouts.example.com", "in the clear"),
        ("rollouts.example.com", "is no address of pages"),
        ("https://ann@rollouts.example.com", "is no address of pages"),
        ("https://rollouts.example.com/?a=b", "is no address of pages"),
        ("javascript:alert(1)", "is no address of pages"),
    ],
)
def test_an_address_that_links_must_not_lead_to_is_refused(
    monkeypatch: pytest.MonkeyPatch, url: str, says: str
) -> None:
    assert says in refused(monkeypatch, PUBLIC_URL=url)


def test_links_lead_to_the_public_address_whose_host_is_answered_to_and_where_people_show_who_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = "0123456789abcdef0123456789abcdef"
    settings = loaded(monkeypatch, PUBLIC_URL="https://Rollouts.example.com/base/", LINK_SECRET=secret)
    assert settings.links is not None
    assert settings.links.to_rollout("r-1") == "https://Rollouts.example.com/base/rollouts/r-1"
    assert settings.links.key == secret.encode()
    assert "rollouts.example.com" in settings.host_names
    assert not settings.is_open
    assert secret not in repr(settings)


def test_without_an_address_there_are_no_links_and_a_weak_secret_signs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch).links is None
    assert loaded(monkeypatch, PUBLIC_URL="http://127.0.0.1:8080").is_open
    assert "shorter than 32 characters" in refused(monkeypatch, LINK_SECRET="short")
