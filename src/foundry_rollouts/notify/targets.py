"""The file of targets: a section for each, with its address, which is a secret, and what it is to hear.

[on-call]
url-file = "pager-url"
severity = "critical"

[team]
url = "slack://TOKEN-A/TOKEN-B/TOKEN-C/#releases"
policies = ["support-*"]
quiet = "22:00-07:00 Europe/Berlin"
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from foundry_rollouts.addresses import host_of, is_loopback
from foundry_rollouts.core.model.globs import exactness_for
from foundry_rollouts.core.model.notice import Severity, phase_of, severity_of
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.errors import UsageError
from foundry_rollouts.notify.marks import MOVES
from foundry_rollouts.notify.quiet import QuietHours, quiet_hours
from foundry_rollouts.ports import News

#: Ways of apprise that send what is said in the clear.
_IN_THE_CLEAR = frozenset({"json", "xml", "form", "http"})
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


class _Section(BaseModel):
    """One target as the file has it."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=lambda name: name.replace("_", "-"))

    url: str | None = Field(default=None, repr=False, min_length=3)
    url_file: str | None = None
    severity: Severity = Severity.INFO
    policies: list[str] = Field(default_factory=list)
    agents: list[str] = Field(default_factory=list)
    phases: list[Phase] = Field(default_factory=list)
    quiet: str | None = None
    mark: Literal["grafana", "github", "application-insights"] | None = None
    token_file: str | None = None
    repository: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$")
    ref: str = "main"
    resource: str | None = Field(default=None, pattern=r"^/subscriptions/[A-Za-z0-9/._()-]+$")

    @model_validator(mode="after")
    def _refuse_two_addresses(self) -> "_Section":
        if (self.url is None) == (self.url_file is None):
            raise ValueError("needs url or url-file: one of them")
        if self.quiet is not None:
            quiet_hours(self.quiet)
        wanted = {"github": self.repository, "application-insights": self.resource}
        if self.mark in wanted and wanted[self.mark] is None:
            raise ValueError(f"{self.mark} needs {'repository' if self.mark == 'github' else 'resource'}")
        if self.mark in {"grafana", "github"} and self.token_file is None:
            raise ValueError(f"{self.mark} needs token-file")
        return self


@dataclass(frozen=True, slots=True)
class Target:
    """One target: where it is, and what it hears."""

    name: str
    url: str = field(repr=False)
    severity: Severity = Severity.INFO  #: The least that it hears.
    policies: tuple[str, ...] = ()  #: Globs; empty: whatever the policy.
    agents: tuple[str, ...] = ()  #: Globs; empty: whatever the agent.
    phases: tuple[Phase, ...] = ()  #: Empty: whatever the phase, and what is about no rollout.
    quiet_text: str | None = None
    mark: str | None = None  #: Whose marks it gets; None: it is spoken to.
    token: str | None = field(default=None, repr=False)
    path: str = ""  #: The repository, or the resource.
    ref: str = "main"

    @property
    def kind(self) -> str:
        """What kind of service it is; it is all that is shown of the address."""
        return self.mark or self.url.partition(":")[0].lower()

    @property
    def quiet(self) -> QuietHours | None:
        return quiet_hours(self.quiet_text) if self.quiet_text else None

    def hears(self, news: News) -> bool:
        """Whether the target is to hear it; a policy that names its targets leaves the others out."""
        if severity_of(news.event).rank < self.severity.rank:
            return False
        if self.mark and news.event.kind not in MOVES:
            return False
        if self.phases and phase_of(news.event) not in self.phases:
            return False
        if self.agents and not _names(self.agents, news.event.agent):
            return False
        named = news.rollout.policy.notify if news.rollout else ()
        if named:
            return self.name in named
        return not self.policies or _names(self.policies, news.policy or "")


def read_targets(file: Path | None) -> Sequence[Target]:
    """Return the targets that ``file`` names; raises UsageError, in words without an address."""
    if file is None:
        return ()
    try:
        sections = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file.name} cannot be read ({type(error).__name__})") from None
    except tomllib.TOMLDecodeError:
        raise UsageError(f"{file.name} is not TOML: fix it") from None  # The library's text may hold a secret.
    return [_target(file, name, section) for name, section in sections.items()]


def _target(file: Path, name: str, section: Any) -> Target:
    where = f"{file.name}: target {name}"
    if not isinstance(section, Mapping) or not _NAME.fullmatch(name):
        raise UsageError(f"{where} is not one: write [NAME], and below it url, severity and so on")
    try:
        read = _Section.model_validate(section)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise UsageError(f"{where}: {f'{key}: ' if key else ''}{first['msg'].removeprefix('Value error, ')}") from None
    url = read.url or _from_file(file.parent / str(read.url_file), where)
    if read.mark and url.partition(":")[0].lower() not in {"http", "https"}:
        raise UsageError(f"{where}: a mark needs an address as https://HOST")
    if url.partition(":")[0].lower() in _IN_THE_CLEAR and not is_loopback(host_of(url)):
        raise UsageError(
            f"{where} would get messages in the clear: write the kind that is encrypted, as jsons:// or https://"
        )
    return Target(
        name=name,
        url=url,
        severity=read.severity,
        policies=tuple(read.policies),
        agents=tuple(read.agents),
        phases=tuple(read.phases),
        quiet_text=read.quiet,
        mark=read.mark,
        token=_from_file(file.parent / read.token_file, where) if read.token_file else None,
        path=read.repository or read.resource or "",
        ref=read.ref,
    )


def _from_file(file: Path, where: str) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{where}: {file.name} cannot be read ({type(error).__name__})") from None


def _names(globs: tuple[str, ...], name: str) -> bool:
    return any(exactness_for(glob, name) is not None for glob in globs)
