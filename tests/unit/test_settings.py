"""The configuration: where a setting comes from, what is refused, and in which words."""

import os
import resource
from pathlib import Path

import pytest
from dirty_equals import IsPartialDict, IsStr

from foundry_rollouts.addresses import is_loopback, project_of
from foundry_rollouts.errors import UsageError
from foundry_rollouts.settings import (
    PREFIX,
    EntraSettings,
    Settings,
    WebhookSettings,
    load,
    load_database_url,
    loopback_address,
    reference,
)

ENDPOINT = "https://acme.services.ai.azure.com/api/projects/prod"
LOCAL = "http://127.0.0.1:8090/api/projects/local"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Begin in an empty folder with no variable of ours set."""
    for name in list(os.environ):
        if name.startswith("FOUNDRY_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def set_variables(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(PREFIX + name.upper(), value)


def problems(**overrides: object) -> list[str]:
    with pytest.raises(UsageError) as refused:
        load(**overrides)
    return str(refused.value).splitlines()


def test_a_project_endpoint_alone_is_enough() -> None:
    settings = load(project_endpoint=ENDPOINT + "/")
    assert settings.model_dump() == {
        "projects": (),
        "project_endpoint": ENDPOINT,
        "credential": "default",
        "database_url": "sqlite:///foundry-rollouts.db",
        "policies": Path("policies"),
        "calendar": None,
        "limits": None,
        "source_credentials": None,
        "listen": "127.0.0.1:8080",
        "access": "auto",
        "metrics_listen": None,
        "metrics_access": None,
        "trusted_proxies": "",
        "base_path": "",
        "hosts": "",
        "requests_per_second": 50.0,
        "entra": IsPartialDict(tenant=None, client_id=None, client_secret=None, audience=None, authority=None),
        "tick_seconds": 10.0,
        "discovery_seconds": 30.0,
        "retention_days": 90.0,
        "signed_in_hours": 24.0,
        "signed_in_idle_hours": 8.0,
        "replica": IsStr(regex=rf".+-{os.getpid()}"),
        "lease_seconds": 30.0,
        "concurrent_ticks": min(128, 32 * (os.cpu_count() or 1)),
        "metrics_agents": 500,
        "log_streams": min(2000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2),
        "public_url": None,
        "link_secret": None,
        "log_format": "json",
        "notify_targets": None,
        "webhook": {"url": None, "secret": None, "timeout_seconds": 10.0, "give_up_hours": 24.0},
    }
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)


def test_an_argument_counts_before_a_variable_before_a_secret_file_before_the_toml_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (tmp_path / "foundry-rollouts.toml").write_text(
        f'project_endpoint = "{ENDPOINT}"\nreplica = "toml"\ntick_seconds = 1\nlease_seconds = 1\nlisten = "[::1]:1"\n'
    )
    (secrets / "foundry_rollouts_listen").write_text("[::1]:2\n")
    (secrets / "FOUNDRY_ROLLOUTS_TICK_SECONDS").write_text("2")
    (secrets / "foundry_rollouts_lease_seconds").write_text("2")
    set_variables(monkeypatch, secrets_dir=str(secrets), tick_seconds="3", lease_seconds="3")
    settings = load(lease_seconds=4, replica=None)
    assert (settings.replica, settings.listen, settings.tick_seconds, settings.lease_seconds) == (
        "toml",
        "[::1]:2",
        3,
        4,
    )


def test_the_clouds_own_variable_names_the_endpoint_unless_ours_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUNDRY_PROJECT_ENDPOINT", ENDPOINT)
    assert load().project_endpoint == ENDPOINT
    set_variables(monkeypatch, project_endpoint=LOCAL)
    assert load().project_endpoint == LOCAL


def test_an_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, listen="", project_endpoint=LOCAL)
    assert load().listen == "127.0.0.1:8080"


def test_settings_cannot_be_changed_afterwards() -> None:
    settings = load(project_endpoint=ENDPOINT)
    with pytest.raises(ValueError, match="frozen"):
        setattr(settings, "listen", "127.0.0.1:1")  # noqa: B010 - mypy knows that it is read-only


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("project_endpoint", "http://10.0.0.1/api/projects/p", "would send tokens in the clear: write https"),
        ("project_endpoint", "https://acme.services.ai.azure.com", "names no project: write https://ACCOUNT."),
        ("project_endpoint", "acme/api/projects/p", "is not a project's address: write https://ACCOUNT."),
        ("project_endpoint", "https://[bad/api/projects/p", "is not a project's address: write https://ACCOUNT."),
        ("project_endpoint", f"{ENDPOINT}?sig=s3cret", "holds more than an address (a login, '?' or '#')"),
        ("credential", "token", "'token' is not valid: write default or emulator"),
        ("listen", "8080", "'8080' is not an address to listen on: write HOST:PORT, for example 127.0.0.1:8080"),
        ("listen", "127.0.0.1:99999", "is not an address to listen on"),
        ("tick_seconds", "0", "'0' is not valid: write at least 0.1"),
        ("tick_seconds", "4000", "'4000' is not valid: write at most 3600"),
        ("lease_seconds", "long", "'long' is not valid: write a valid number"),
        ("log_format", "xml", "'xml' is not valid: write console or json"),
        ("database_url", "sqlite+aiosqlite:///x.db", "names a driver, which the project chooses: write sqlite://"),
        ("database_url", "sqlite:///:memory:", "is not a database for the history: write sqlite:///FILE or"),
        ("database_url", "mysql://u:s3cret@h/d", "is not a database for the history: write sqlite:///FILE or"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line_with_its_variable_and_its_mending(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, line: str
) -> None:
    set_variables(monkeypatch, **{"project_endpoint": ENDPOINT, name: value})
    (problem,) = problems()
    assert problem.startswith(f"{PREFIX}{name.upper()}: ")
    assert line in problem
    assert "s3cret" not in problem


@pytest.mark.parametrize(
    "url",
    ["sqlite:///x.db", "sqlite:////var/x.db", "postgresql://u:p@h/d", "postgresql:///d?host=/run/postgresql"],
)
def test_both_databases_are_named_without_their_drivers(url: str) -> None:
    assert load(project_endpoint=ENDPOINT, database_url=url).database_url == url


def test_the_password_in_a_database_address_is_not_shown() -> None:
    assert "s3cret" not in repr(load(project_endpoint=ENDPOINT, database_url="postgresql://u:s3cret@h/d"))


def test_the_fixed_token_goes_nowhere_but_to_this_machine() -> None:
    assert load(project_endpoint=LOCAL, credential="emulator").credential == "emulator"
    assert problems(project_endpoint=ENDPOINT, credential="emulator") == [
        "FOUNDRY_ROLLOUTS_CREDENTIAL: 'emulator' is a fixed token for a loopback endpoint: write default"
    ]


#: Of the length that is asked for; what it decodes to is nobody's.
SECRET = "whsec_" + "QUJD" * 8


def test_whom_to_tell_is_a_group_of_settings_from_every_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "foundry_rollouts_webhook__secret").write_text(SECRET + "\n")
    (tmp_path / "foundry-rollouts.toml").write_text(
        '[webhook]\nurl = "https://toml.example"\ntimeout_seconds = 3\ngive_up_hours = 3\n'
    )
    set_variables(monkeypatch, secrets_dir=str(secrets), webhook__timeout_seconds="5")
    webhook = load(project_endpoint=ENDPOINT).webhook
    assert (webhook.url, webhook.key) == ("https://toml.example", b"ABC" * 8)
    assert (webhook.timeout.total_seconds(), webhook.patience.total_seconds()) == (5, 3 * 3600)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("url", "http://10.0.0.1/s3cret", "would send messages in the clear: write https"),
        ("url", "https://me:s3cret@example.com/", "holds a login or '#', which are not sent: write https://HOST/PATH"),
        ("url", "example.com/s3cret", "is no address to post to: write https://HOST/PATH"),
        ("secret", "s3cret", "is not whsec_ and at least 24 bytes in base64"),
        ("secret", "whsec_s3cret==", "is not whsec_ and at least 24 bytes in base64"),
        ("timeout_seconds", "61", "'61' is not valid: write at most 60"),
        ("give_up_hours", "0", "'0' is not valid: write at least 0.01"),
    ],
)
def test_a_wrong_value_for_the_receiver_is_one_line_that_holds_no_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, line: str
) -> None:
    set_variables(monkeypatch, **{"webhook__url": "https://example.com", f"webhook__{name}": value})
    (problem,) = problems(project_endpoint=ENDPOINT)
    assert problem.startswith(f"{PREFIX}WEBHOOK__{name.upper()}: ")
    assert line in problem
    assert "s3cret" not in problem


def test_a_secret_needs_an_address_and_neither_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, webhook__secret=SECRET)
    assert problems(project_endpoint=ENDPOINT) == [
        "FOUNDRY_ROLLOUTS_WEBHOOK: has a secret and no address to post to: write its URL too"
    ]
    set_variables(monkeypatch, webhook__url="https://example.com/s3cret")
    settings = load(project_endpoint=ENDPOINT)
    shown = f"{settings!r} {settings.webhook!r} {settings.webhook!s}"
    assert "s3cret" not in shown
    assert SECRET not in shown


def test_a_group_is_written_setting_by_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "foundry-rollouts.toml").write_text(f'project_endpoint = "{ENDPOINT}"\nwebhook = "https://s3cret"\n')
    assert problems() == [
        "FOUNDRY_ROLLOUTS_WEBHOOK: what is there is not valid: write its settings one by one, as lines under [webhook]"
    ]
    (tmp_path / "foundry-rollouts.toml").write_text(f'project_endpoint = "{ENDPOINT}"\n[webhook]\nulr = "s3cret"\n')
    assert problems() == ["foundry-rollouts.toml: webhook.ulr: there is no such setting: did you mean webhook.url?"]
    (tmp_path / "foundry-rollouts.toml").unlink()
    set_variables(monkeypatch, webhook__ulr="s3cret")
    assert problems(project_endpoint=ENDPOINT) == [
        "FOUNDRY_ROLLOUTS_WEBHOOK__ULR: there is no such setting: did you mean FOUNDRY_ROLLOUTS_WEBHOOK__URL?"
    ]


def test_every_problem_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, lisen="x", tick_seconds="x", log_format="x")
    assert [line.split(":")[0] for line in problems()] == [
        "FOUNDRY_ROLLOUTS_LISEN",
        "FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT",
        "FOUNDRY_ROLLOUTS_TICK_SECONDS",
        "FOUNDRY_ROLLOUTS_LOG_FORMAT",
    ]


def test_a_variable_that_nobody_knows_is_refused_with_the_nearest_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, tick_second="1", zzz="1")
    assert problems(project_endpoint=ENDPOINT) == [
        "FOUNDRY_ROLLOUTS_TICK_SECOND: there is no such setting: did you mean FOUNDRY_ROLLOUTS_TICK_SECONDS?",
        "FOUNDRY_ROLLOUTS_ZZZ: there is no such setting: unset it, `foundry-rollouts serve --help` lists all",
    ]


def test_the_variables_that_kubernetes_sets_for_a_service_of_our_name_are_let_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_variables(
        monkeypatch,
        service_host="10.0.0.1",
        service_port="8080",
        service_port_http="8080",
        port="tcp://10.0.0.1:8080",
        port_8080_tcp="tcp://10.0.0.1:8080",
        port_8080_tcp_addr="10.0.0.1",
        server="http://127.0.0.1:1",
    )
    assert load(project_endpoint=ENDPOINT).listen == "127.0.0.1:8080"


def test_a_line_of_the_toml_file_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "foundry-rollouts.toml").write_text(f'project_endpoint = "{ENDPOINT}"\npolicy = "x"\n')
    assert problems() == ["foundry-rollouts.toml: policy: there is no such setting: did you mean policies?"]


def test_a_toml_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "foundry-rollouts.toml").write_text("listen = \n")
    (problem,) = problems()
    assert problem.startswith("foundry-rollouts.toml: this is not TOML, ")
    assert "line 1" in problem


def test_a_secrets_folder_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, secrets_dir="gone")
    assert problems(project_endpoint=ENDPOINT) == [
        "FOUNDRY_ROLLOUTS_SECRETS_DIR: there is no folder 'gone': make it, or unset the variable"
    ]


def test_the_database_alone_can_be_known_without_an_endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "foundry-rollouts.toml").write_text('listen = "127.0.0.1:1"\ndatabase_url = "sqlite:///toml.db"\n')
    assert load_database_url() == "sqlite:///toml.db"
    set_variables(monkeypatch, database_url="sqlite:///variable.db")
    assert load_database_url() == "sqlite:///variable.db"
    assert load_database_url("sqlite:///argument.db") == "sqlite:///argument.db"


def test_the_reference_lists_every_setting_with_its_meaning_the_required_one_first() -> None:
    lines = reference()
    single = {PREFIX + name.upper() for name in Settings.model_fields if name not in {"webhook", "entra"}}
    grouped = {f"{PREFIX}WEBHOOK__{name.upper()}" for name in WebhookSettings.model_fields}
    grouped |= {f"{PREFIX}ENTRA__{name.upper()}" for name in EntraSettings.model_fields}
    assert {line.variable for line in lines} == single | grouped
    assert [line.variable for line in lines if line.default is None] == [lines[0].variable]
    assert all(line.meaning.endswith(".") for line in lines)


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", False),
     ("10.0.0.1", False), ("localhost.example.com", False), ("", False)],
)  # fmt: skip
def test_loopback_is_this_machine_and_nothing_else(host: str, is_ours: bool) -> None:
    assert is_loopback(host) is is_ours


def test_an_address_to_listen_on_is_host_and_port_in_both_families() -> None:
    assert [loopback_address(text, "") for text in ("127.0.0.1:0", "localhost:80", "[::1]:8080")] == [
        ("127.0.0.1", 0),
        ("localhost", 80),
        ("::1", 8080),
    ]


def test_a_project_is_told_by_its_account_and_name_and_a_local_one_by_its_name_alone() -> None:
    assert project_of(ENDPOINT.upper().replace("HTTPS", "https")) == project_of(f"{ENDPOINT}/")
    assert project_of(ENDPOINT) == "acme.services.ai.azure.com/api/projects/prod"
    assert project_of(ENDPOINT) != project_of(ENDPOINT.replace("acme", "other"))
    assert project_of(LOCAL) == project_of("http://localhost:9/api/projects/local") == "localhost/api/projects/local"
    assert project_of(LOCAL) != project_of(LOCAL.replace("local", "other"))


def test_log_streams_take_half_of_the_open_files_at_most_and_what_is_set_counts() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (600, before[1]))
        assert load(project_endpoint=ENDPOINT).log_streams == 300
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert load(project_endpoint=ENDPOINT, log_streams=7).log_streams == 7
    assert "LOG_STREAMS" in problems(project_endpoint=ENDPOINT, log_streams=1)[0]
