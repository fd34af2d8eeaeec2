"""The settings themselves: what each is called, its default, its meaning, and what is refused."""

import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from foundry_rollouts.addresses import host_of, is_loopback
from foundry_rollouts.errors import UsageError
from foundry_rollouts.settings.addresses import loopback_address
from foundry_rollouts.settings.webhook import WebhookSettings

PREFIX = "FOUNDRY_ROLLOUTS_"
DELIMITER = "__"  #: Between the name of a group of settings and one of its settings.
TOML_FILE = "foundry-rollouts.toml"
SECRETS_DIR = f"{PREFIX}SECRETS_DIR"  #: The folder of secret files; a variable only, for it says where the files are.
ENDPOINT_ALIAS = "FOUNDRY_PROJECT_ENDPOINT"
OLD_ENDPOINT_ALIAS = "AZURE_AI_PROJECT_ENDPOINT"  #: What environments of azd had before.
ENDPOINT_FORM = "https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT"


class DatabaseSettings(BaseSettings):
    """Where the history lives: all that the ``db`` commands need."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=DELIMITER, env_ignore_empty=True, extra="ignore", frozen=True
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
        endpoint = os.environ.get(ENDPOINT_ALIAS) or os.environ.get(OLD_ENDPOINT_ALIAS)
        return (
            init_settings,
            env_settings,
            InitSettingsSource(settings_cls, {"project_endpoint": endpoint} if endpoint else {}),
            file_secret_settings,
            InitSettingsSource(settings_cls, _grouped_secrets(settings_cls, file_secret_settings)),
            TomlConfigSettingsSource(settings_cls, toml_file=TOML_FILE),
        )


class Settings(DatabaseSettings):
    """What ``serve`` is started with. Spans are seconds."""

    model_config = SettingsConfigDict(extra="forbid")

    project_endpoint: str = Field(
        description=f"`https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT`; also `{ENDPOINT_ALIAS}` and "
        f"`{OLD_ENDPOINT_ALIAS}`. "
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
    source_credentials: Path | None = Field(
        default=None,
        description="A TOML file with a section for each login that the sources of a policy name; read for each "
        "request.",
        json_schema_extra={"shown": "no source logs in"},
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
        description="How often a rollout in progress is checked when nothing wakes it earlier.",
    )
    discovery_seconds: float = Field(
        default=30, ge=0.1, le=3600, description="How often the agents are listed, to find new versions and drift."
    )
    replica: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        min_length=1,
        max_length=200,
        description="The replica's name in leases; every replica needs its own.",
        json_schema_extra={"shown": "host name + pid"},
    )
    lease_seconds: float = Field(
        default=30, ge=0.1, le=3600, description="How long the rollouts of a dead replica stay with it."
    )
    retention_days: float = Field(default=90, ge=1, description="Days that measurements of ended rollouts are kept.")
    log_format: Literal["console", "json"] = Field(
        default_factory=lambda: "console" if sys.stderr.isatty() else "json",
        description="The format of log lines.",
        json_schema_extra={"shown": "console on a terminal, else json"},
    )
    webhook: WebhookSettings = Field(default_factory=WebhookSettings, repr=False, description="Who is notified.")

    @property
    def database_name(self) -> str:
        """The database without a login: what may stand in a log."""
        parts = urlsplit(self.database_url)
        where = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
        return f"{parts.scheme}://{where}{parts.path}"

    @property
    def project_name(self) -> str:
        """What people call the project: ``ACCOUNT / PROJECT``; a local one has no account."""
        host, project = host_of(self.project_endpoint), self.project_endpoint.rpartition("/")[2]
        return project if is_loopback(host) else f"{host.split('.')[0]} / {project}"

    @property
    def host(self) -> str:
        return loopback_address(self.listen)[0]

    @property
    def port(self) -> int:
        return loopback_address(self.listen)[1]

    @field_validator("project_endpoint")
    @classmethod
    def _refuse_unsafe_endpoint(cls, url: str) -> str:
        host = host_of(url)
        parts = urlsplit(url if host else "")
        if parts.query or parts.fragment or parts.username or parts.password:
            raise ValueError(f"holds more than an address (a login, '?' or '#'): write {ENDPOINT_FORM}")
        if parts.scheme not in {"http", "https"} or not host:
            raise ValueError(f"{url!r} is not a project's address: write {ENDPOINT_FORM}")
        if not re.fullmatch(r".*/api/projects/[^/]+/?", parts.path):
            raise ValueError(f"{url!r} names no project: write {ENDPOINT_FORM}")
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
        if self.credential == "emulator" and not is_loopback(host_of(self.project_endpoint)):
            raise ValueError(f"{PREFIX}CREDENTIAL: 'emulator' is a fixed token for a loopback endpoint: write default")
        return self


def leaves(model: type[BaseModel], *above: str) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Yield each setting of ``model`` with its path: one word, or two for one of a group."""
    for name, field in model.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            yield from leaves(group, *above, name)
        else:
            yield (*above, name), field


def variable(*path: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + DELIMITER.join(path).upper()


def _grouped_secrets(model: type[BaseModel], secrets: PydanticBaseSettingsSource) -> dict[str, Any]:
    """Return what the secrets folder holds for groups of settings, which the library does not read."""
    folder = getattr(secrets, "secrets_dir", None)
    found: dict[str, Any] = {}
    if folder is None:
        return found
    for path, _ in leaves(model):
        file = SecretsSettingsSource.find_case_path(Path(folder), variable(*path), case_sensitive=False)
        if len(path) > 1 and file is not None and file.is_file():
            found.setdefault(path[0], {})[path[1]] = file.read_text("utf-8").strip()
    return found
