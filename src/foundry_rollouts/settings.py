"""The whole configuration of the service: every setting, its default and its meaning.

A setting is an environment variable, or a file of that name in the secrets folder, or a line in
``foundry-rollouts.toml``; the first that is there counts. Nothing else in the package reads the environment, and a
variable that nobody knows is refused: a misspelt setting must not leave a default in force unnoticed.
"""

import os
import re
import socket
import sys
import tomllib
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from foundry_rollouts.errors import UsageError

PREFIX = "FOUNDRY_ROLLOUTS_"
TOML_FILE = "foundry-rollouts.toml"
SECRETS_DIR = f"{PREFIX}SECRETS_DIR"  #: The folder of secret files; a variable only, for it says where to look.
ENDPOINT_ALIAS = "FOUNDRY_PROJECT_ENDPOINT"

#: Variables with our prefix that are no settings of the service.
_OTHERS = frozenset({SECRETS_DIR, f"{PREFIX}SERVER"})
#: Kubernetes sets these in every pod beside a Service named foundry-rollouts.
_SERVICE_LINK = re.compile(rf"{PREFIX}(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")

_BOUNDS = {"ge": "at least", "le": "at most"}

AnySettings = TypeVar("AnySettings", bound=BaseSettings)


class DatabaseSettings(BaseSettings):
    """Where the history lives: all that the ``db`` commands need."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True, extra="ignore", frozen=True
    )

    database_url: str = Field(
        default="sqlite:///foundry-rollouts.db",
        repr=False,
        description="`sqlite:///FILE`, or `postgresql://USER:PASSWORD@HOST/NAME` for more than one replica.",
    )

    @field_validator("database_url")
    @classmethod
    def _refuse_other_databases(cls, url: str) -> str:
        # What is said never repeats the address: it may hold a password.
        scheme, _, rest = url.partition("://")
        if scheme.startswith(("sqlite+", "postgresql+")):
            raise ValueError(f"names a driver, which the project chooses: write {scheme.partition('+')[0]}://")
        if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1 and ":memory:" not in rest:
            return url
        if scheme == "postgresql" and rest:
            return url
        raise ValueError("is not a database for the history: write sqlite:///FILE or postgresql://HOST/NAME")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, secret files, TOML file: the first that has a value counts."""
        endpoint = os.environ.get(ENDPOINT_ALIAS)
        return (
            init_settings,
            env_settings,
            InitSettingsSource(settings_cls, {"project_endpoint": endpoint} if endpoint else {}),
            file_secret_settings,
            TomlConfigSettingsSource(settings_cls, toml_file=TOML_FILE),
        )


class Settings(DatabaseSettings):
    """What ``serve`` is started with. Spans are seconds."""

    model_config = SettingsConfigDict(extra="forbid")

    project_endpoint: str = Field(
        description=f"`https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT`; also `{ENDPOINT_ALIAS}`. "
        "Plain http is refused unless the address is loopback.",
    )
    credential: Literal["default", "emulator"] = Field(
        default="default",
        description="`default`: DefaultAzureCredential. `emulator`: a fixed token, for a loopback endpoint only.",
    )
    policies: Path = Field(
        default=Path("policies"),
        description="A file or folder of policies, read again when it changes; a broken file never replaces "
        "a good one.",
    )
    listen: str = Field(
        default="127.0.0.1:8080",
        description="Where the ops API, the dashboard and /metrics are served: HOST:PORT, loopback only while "
        "there is no access control.",
    )
    tick_seconds: float = Field(
        default=10,
        ge=0.1,
        le=3600,
        description="How often a rollout in progress is looked at when nothing wakes it earlier.",
    )
    discovery_seconds: float = Field(
        default=30, ge=0.1, le=3600, description="How often the agents are listed: new versions, drift."
    )
    replica: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        min_length=1,
        max_length=200,
        description="The name in leases; every replica needs its own.",
        json_schema_extra={"shown": "host name + pid"},
    )
    lease_seconds: float = Field(
        default=30, ge=0.1, le=3600, description="How long a replica that died keeps its rollouts from others."
    )
    retention_days: float = Field(default=90, ge=1, description="Days that measurements of ended rollouts stay.")
    log_format: Literal["console", "json"] = Field(
        default_factory=lambda: "console" if sys.stderr.isatty() else "json",
        description="How log lines look.",
        json_schema_extra={"shown": "console on a terminal, else json"},
    )

    @property
    def host(self) -> str:
        return loopback_address(self.listen)[0]

    @property
    def port(self) -> int:
        return loopback_address(self.listen)[1]

    @field_validator("project_endpoint")
    @classmethod
    def _refuse_unsafe_endpoint(cls, url: str) -> str:
        host = _host(url)
        parts = urlsplit(url if host else "")
        if parts.query or parts.fragment or parts.username or parts.password:
            raise ValueError(f"holds more than an address (a login, '?' or '#'): write {_ENDPOINT_FORM}")
        if parts.scheme not in {"http", "https"} or not host:
            raise ValueError(f"{url!r} is not a project's address: write {_ENDPOINT_FORM}")
        if not re.fullmatch(r".*/api/projects/[^/]+/?", parts.path):
            raise ValueError(f"{url!r} names no project: write {_ENDPOINT_FORM}")
        if parts.scheme == "http" and not is_loopback(host):
            raise ValueError(f"{url!r} would send tokens in the clear: write https")
        return url.rstrip("/")

    @field_validator("listen")
    @classmethod
    def _refuse_open_address(cls, listen: str) -> str:
        try:
            loopback_address(listen, "there is no access control yet")
        except UsageError as error:
            raise ValueError(str(error)) from None
        return listen

    @model_validator(mode="after")
    def _refuse_emulator_credential_elsewhere(self) -> "Settings":
        if self.credential == "emulator" and not is_loopback(_host(self.project_endpoint)):
            raise ValueError(f"{PREFIX}CREDENTIAL: 'emulator' is a fixed token for a loopback endpoint: write default")
        return self


_ENDPOINT_FORM = "https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT"


class Setting(NamedTuple):
    """One line of the reference; ``default`` is None when the setting must be given."""

    variable: str
    default: str | None
    meaning: str


def reference() -> list[Setting]:
    """Return every setting as documentation shows it, the required one first."""
    lines = [_setting(name, field) for name, field in Settings.model_fields.items()]
    return sorted(lines, key=lambda line: line.default is not None)


def load(**overrides: Any) -> Settings:
    """Return the settings; ``overrides`` that are None count as absent. Raises UsageError, a line per problem."""
    unknown = _unknown_variables(os.environ)
    try:
        settings = _read(Settings, overrides)
    except UsageError as error:
        unknown.append(str(error))
    if unknown:
        raise UsageError("\n".join(unknown))
    return settings


def load_database_url(override: str | None = None) -> str:
    """Return the database's address alone. Raises UsageError."""
    return _read(DatabaseSettings, {"database_url": override}).database_url


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine and nothing else."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def loopback_address(listen: str, because: str = "") -> tuple[str, int]:
    """Return host and port of an address on this machine alone; ``because`` says why no other will do."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"{listen!r} is not an address to listen on: write HOST:PORT, for example 127.0.0.1:8080")
    if not is_loopback(host.strip("[]")):
        raise UsageError(f"{listen!r} can be reached from other machines and {because}: write 127.0.0.1:{port}")
    return host.strip("[]"), int(port)


def _read(kind: type[AnySettings], overrides: dict[str, Any]) -> AnySettings:
    given = {name: value for name, value in overrides.items() if value is not None}
    folder = os.environ.get(SECRETS_DIR) or None
    if folder and not Path(folder).is_dir():
        raise UsageError(f"{SECRETS_DIR}: there is no folder {folder!r}: make it, or unset the variable")
    try:
        return kind(_secrets_dir=folder, **given)
    except ValidationError as error:
        raise UsageError("\n".join(_line(each) for each in error.errors(include_url=False))) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{TOML_FILE}: this is not TOML, {error}: mend that line") from None
    except OSError as error:
        raise UsageError(f"{error.filename}: cannot be read, {error.strerror}: allow it to be read") from None


def _line(error: ErrorDetails) -> str:
    if not error["loc"]:
        return error["msg"].removeprefix("Value error, ")
    name = str(error["loc"][0])
    variable = _variable(name)
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return f"{variable}: is not set: write {_ENDPOINT_FORM}"
        case "extra_forbidden":
            return f"{TOML_FILE}: {name}: no setting is called so{_hint(name, Settings.model_fields)}"
        case "value_error":
            return f"{variable}: {error['msg'].removeprefix('Value error, ')}"
        case "literal_error":
            how = str(context["expected"]).replace("'", "")
        case "greater_than_equal" | "less_than_equal":
            how = " ".join(f"{word} {context[key]:g}" for key, word in _BOUNDS.items() if key in context)
        case _:
            how = error["msg"].removeprefix("Input should be ").partition(",")[0]
    return f"{variable}: {error['input']!r} is not possible: write {how}"


def _unknown_variables(environment: Iterable[str]) -> list[str]:
    known = set(map(_variable, Settings.model_fields)) | _OTHERS
    return [
        f"{name}: no setting is called so{_hint(name.removeprefix(PREFIX).lower(), Settings.model_fields, _variable)}"
        for name in sorted(environment)
        if name.startswith(PREFIX) and name not in known and not _SERVICE_LINK.fullmatch(name)
    ]


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _hint(name: str, known: Iterable[str], spell: Callable[[str], str] = str) -> str:
    close = get_close_matches(name, list(known), n=1)
    how = f"did you mean {spell(close[0])}?" if close else "unset it, `foundry-rollouts serve --help` lists all"
    return f": {how}"


def _setting(name: str, field: FieldInfo) -> Setting:
    shown = field.json_schema_extra.get("shown") if isinstance(field.json_schema_extra, dict) else None
    default = None if field.is_required() else str(shown or field.default)
    return Setting(_variable(name), default, field.description or "")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
