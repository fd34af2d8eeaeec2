"""The settings themselves: what each is called, its default, its meaning, and what is refused."""

import os
import re
import socket
import sys
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from foundry_rollouts.addresses import host_of, is_loopback
from foundry_rollouts.errors import UsageError
from foundry_rollouts.settings.access import AccessSettings
from foundry_rollouts.settings.database import ENDPOINT_ALIAS, ENDPOINT_FORM, OLD_ENDPOINT_ALIAS, PREFIX
from foundry_rollouts.settings.webhook import WebhookSettings


class Settings(AccessSettings):
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
    calendar: Path | None = Field(
        default=None,
        description="A YAML file with `windows` and `freeze` for all agents, as in a policy; read when it changes.",
        json_schema_extra={"shown": "rollouts may begin and rise at any time"},
    )
    source_credentials: Path | None = Field(
        default=None,
        description="A TOML file with a section for each login that the sources of a policy name; read for each "
        "request.",
        json_schema_extra={"shown": "no source logs in"},
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
    concurrent_ticks: int = Field(
        default_factory=lambda: min(128, 32 * (os.cpu_count() or 1)),
        ge=1,
        le=1000,
        description="How many agents one replica acts on at once; the others that are due wait, rollbacks never behind "
        "what is routine.",
        json_schema_extra={"shown": "32 for each processor, 128 at most"},
    )
    retention_days: float = Field(default=90, ge=1, description="Days that measurements of ended rollouts are kept.")
    metrics_agents: int = Field(
        default=500,
        ge=0,
        description="How many agents have series of their own in `/metrics`, those in trouble first; of the others "
        "there are sums, and `foundry_rollouts_rollouts_without_series` says how many they are.",
    )
    log_format: Literal["console", "json"] = Field(
        default_factory=lambda: "console" if sys.stderr.isatty() else "json",
        description="The format of log lines.",
        json_schema_extra={"shown": "console on a terminal, else json"},
    )
    notify_targets: Path | None = Field(
        default=None,
        description="A TOML file with a section for each target of notifications: its address, which is a secret, "
        "and what it hears.",
        json_schema_extra={"shown": "no target is notified"},
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

    @field_validator("project_endpoint")
    @classmethod
    def _refuse_unsafe_endpoint(cls, url: str) -> str:
        return endpoint_of(url)

    @model_validator(mode="after")
    def _refuse_emulator_credential_elsewhere(self) -> "Settings":
        if self.credential == "emulator" and not is_loopback(host_of(self.project_endpoint)):
            raise ValueError(f"{PREFIX}CREDENTIAL: 'emulator' is a fixed token for a loopback endpoint: write default")
        return self


def endpoint_of(url: str) -> str:
    """Return the address of a project. Raises ValueError for what is none, or would send tokens in the clear."""
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


def checked_endpoint(url: str) -> str:
    """Return the address of a project. Raises UsageError."""
    try:
        return endpoint_of(url)
    except ValueError as error:
        raise UsageError(str(error)) from error
