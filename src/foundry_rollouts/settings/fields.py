"""The settings themselves: what each is called, its default, its meaning, and what is refused."""

import os
import resource
import socket
import sys
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, InstanceOf, ValidationInfo, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from foundry_rollouts.addresses import host_of, is_loopback
from foundry_rollouts.policies.limits import GivenLimits, given_limits
from foundry_rollouts.settings.access import AccessSettings
from foundry_rollouts.settings.database import ENDPOINT_ALIAS, ENDPOINT_FORM, OLD_ENDPOINT_ALIAS, PREFIX
from foundry_rollouts.settings.endpoints import endpoint_of
from foundry_rollouts.settings.projects import Project, projects_of
from foundry_rollouts.settings.webhook import WebhookSettings

#: Log streams that are open at once, where the process may have as many files open.
MOST_STREAMS = 2000


class Settings(AccessSettings):
    """What ``serve`` is started with. Spans are seconds."""

    model_config = SettingsConfigDict(extra="forbid")

    projects: Annotated[tuple[Project, ...], NoDecode] = Field(
        default=(),
        repr=False,
        description="Several projects instead of one: the path of a YAML or JSON file, or the JSON itself, as "
        '`{"NAME": {"endpoint": "...", "credential": "default", "policies": "PATH"}}`; only `endpoint` must be set. '
        "Where there is more than one, agents are named `project/agent`.",
        json_schema_extra={"shown": "the one project of `PROJECT_ENDPOINT`"},
    )
    project_endpoint: str = Field(
        default="",
        validate_default=True,
        description=f"`https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT`; also `{ENDPOINT_ALIAS}` and "
        f"`{OLD_ENDPOINT_ALIAS}`. "
        f"Plain http is refused unless the address is loopback. Not with `{PREFIX}PROJECTS`.",
        json_schema_extra={"required": True},
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
    limits: Annotated[InstanceOf[GivenLimits] | None, NoDecode] = Field(
        default=None,
        description="How many rollouts may be under way at once, for each project and label, and waves of labels: "
        "the path of a TOML file, read again when it changes, or the JSON itself, as "
        '`{"at-once": {"project": 5, "labels": {"payments": 2}}, "waves": ["ring-0", "ring-1"]}`.',
        json_schema_extra={"shown": "as many as there are"},
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
    log_streams: int = Field(
        default_factory=lambda: min(MOST_STREAMS, _open_files() // 2),
        ge=2,
        description="How many log streams one replica has open at once, for all rollouts together: canaries in early "
        "steps come first, and a rollout that may not follow all of its sessions says so.",
        json_schema_extra={"shown": f"{MOST_STREAMS}, and half of the files that the process may have open at most"},
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
        if len(self.projects) > 1:
            return ", ".join(each.name for each in self.projects)
        endpoint = self.watched[0].endpoint
        host, project = host_of(endpoint), endpoint.rpartition("/")[2]
        return project if is_loopback(host) else f"{host.split('.')[0]} / {project}"

    @property
    def watched(self) -> tuple[Project, ...]:
        """The projects that are watched; the one of ``project_endpoint`` has no name."""
        return self.projects or (Project("", self.project_endpoint, self.credential),)

    @field_validator("projects", mode="before")
    @classmethod
    def _read_projects(cls, given: object) -> tuple[Project, ...]:
        return projects_of(given) if given not in ("", ()) else ()

    @field_validator("limits", mode="before")
    @classmethod
    def _read_limits(cls, given: object) -> GivenLimits | None:
        return given_limits(given) if given not in ("", None) else None

    @field_validator("project_endpoint")
    @classmethod
    def _refuse_unsafe_endpoint(cls, url: str, info: ValidationInfo) -> str:
        projects = info.data.get("projects", ())
        if url and projects:
            raise ValueError(
                f"is set beside {PREFIX}PROJECTS, which names every project: unset one of the two"
                f" (here or as {ENDPOINT_ALIAS} or {OLD_ENDPOINT_ALIAS})"
            )
        if not url and "projects" in info.data and not projects:
            raise ValueError(f"is not set: write {ENDPOINT_FORM}")
        return endpoint_of(url) if url else url

    @model_validator(mode="after")
    def _refuse_emulator_credential_elsewhere(self) -> "Settings":
        if self.project_endpoint and self.credential == "emulator" and not is_loopback(host_of(self.project_endpoint)):
            raise ValueError(f"{PREFIX}CREDENTIAL: 'emulator' is a fixed token for a loopback endpoint: write default")
        return self


def _open_files() -> int:
    """Return how many files, and connections, the process may have open."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2 * MOST_STREAMS if most == resource.RLIM_INFINITY else most
