"""How a policy file names its sources, and what each of them needs to know."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt

from foundry_rollouts.core.model.sources import (
    HttpConfig,
    InsightsConfig,
    LogsConfig,
    OutcomesConfig,
    ProbeConfig,
    PrometheusConfig,
    SourceConfig,
    Sources,
)
from foundry_rollouts.policies.units import PositiveDuration, wrong

SourceName = Literal["probe", "logs", "outcomes", "prometheus", "http", "application-insights"]


def _dashed(name: str) -> str:
    return name.replace("_", "-")


STRICT = ConfigDict(extra="forbid", frozen=True, alias_generator=_dashed)


def _asks_of_one_version(text: str) -> str:
    """Refuse a text that would say the same of both versions, or of any time."""
    for word in ("{version}", "{window}"):
        if word not in text:
            raise wrong(f"{word} does not stand in it: without it, stable and canary or all windows would be the same")
    return text


def _names_the_version(text: str) -> str:
    if "{version}" not in text:
        raise wrong("{version} does not stand in it: without it, stable and canary would be the same")
    return text


def _address(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/@?#]+([/?][^\s@#]*)?", text):
        raise wrong(f"'{text}' is no address here: write http:// or https://, without a name and password")
    return text


def _pointer(text: str) -> str:
    if not re.fullmatch(r"(/([^~]|~[01])*)+", text):
        raise wrong(f"'{text}' is no JSON pointer: write for example /counts/calls")
    return text


def _guid(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", text):
        raise wrong(f"'{text}' is no workspace id: write the GUID that the portal shows")
    return text


def _value_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", text):
        raise wrong(f"'{text}' cannot be a name here: use small letters, digits and '-', at most 63")
    return text


def _credentials_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", text):
        # The text is not repeated: it may be the secret itself.
        raise wrong("this names no credentials: write the section of the file of credentials that holds the secret")
    return text


Address = Annotated[str, AfterValidator(_address)]
Pointer = Annotated[str, AfterValidator(_pointer)]
Query = Annotated[str, AfterValidator(_asks_of_one_version)]
CredentialsName = Annotated[str, AfterValidator(_credentials_name)]
ValueName = Annotated[str, AfterValidator(_value_name)]
Guid = Annotated[str, AfterValidator(_guid)]


def _credentials() -> Any:
    return Field(
        default=None,
        description="The login: a section of the file that FOUNDRY_ROLLOUTS_SOURCE_CREDENTIALS names.",
        examples=["metrics"],
    )


def _every(default: str, span: timedelta) -> Any:
    return Field(
        default=span, description="The shortest window that is counted.", json_schema_extra={"default": default}
    )


def _delay(default: str, span: timedelta) -> Any:
    what = "How long a count may still change: windows end that long before now."
    return Field(default=span, description=what, json_schema_extra={"default": default})


Cluster = Annotated[float, Field(strict=True, ge=1, le=1000)]


def _cluster() -> Any:
    return Field(
        default=None,
        description="How many calls fail together at most, as the calls of one session do. "
        "Default: learnt from how much stable's failures vary.",
        examples=[2],
    )


def _plain(entry: BaseModel) -> dict[str, Any]:
    said = entry.model_dump()
    return said | {"values": tuple(said["values"].items())}


class SourceEntry(BaseModel):
    """What a policy says of one source."""

    model_config = STRICT

    def as_config(self) -> SourceConfig:
        """Return it in the core's words."""
        raise NotImplementedError


class ProbeEntry(SourceEntry):
    """Our own calls, in pairs: one on stable, one on the canary."""

    prompts: str | None = Field(
        default=None,
        min_length=1,
        description="A YAML list of prompts, relative to this file. Default: one harmless question.",
        examples=["prompts/support.yaml"],
    )
    every: PositiveDuration = Field(
        default=timedelta(seconds=10), description="How often.", json_schema_extra={"default": "10s"}
    )
    pairs: StrictInt = Field(default=1, ge=1, le=100, description="Pairs of calls each time.")

    def as_config(self) -> ProbeConfig:
        """Return it without its prompts, which stand in a file of their own."""
        return ProbeConfig(every=self.every, pairs=self.pairs)


class LogsEntry(SourceEntry):
    """The log streams of live sessions."""

    sessions: StrictInt = Field(default=50, ge=1, le=1000, description="Live sessions followed per version.")

    def as_config(self) -> LogsConfig:
        return LogsConfig(self.sessions)


class OutcomesEntry(SourceEntry):
    """What callers report to POST /api/v1/outcomes; there is nothing to choose."""

    def as_config(self) -> OutcomesConfig:
        return OutcomesConfig()


class PrometheusEntry(SourceEntry):
    """Two queries to a Prometheus server, each of which gives one number."""

    url: Address = Field(description="The server's address.", examples=["http://prometheus:9090"])
    calls: Query = Field(
        description="Counts the calls. {agent}, {project}, {version} and {window} are filled in.",
        examples=['sum(increase(agent_calls_total{agent="{agent}",version="{version}"}[{window}]))'],
    )
    failures: Query = Field(description="Counts the calls that failed.")
    every: PositiveDuration = _every("30s", timedelta(seconds=30))
    delay: PositiveDuration = _delay("15s", timedelta(seconds=15))
    cluster: Cluster | None = _cluster()
    values: dict[ValueName, Query] = Field(
        default_factory=dict, description="Further numbers for value gates: queries."
    )
    credentials: CredentialsName | None = _credentials()

    def as_config(self) -> PrometheusConfig:
        return PrometheusConfig(**_plain(self))


class HttpEntry(SourceEntry):
    """An address that answers with JSON, for one version and window."""

    url: Annotated[Address, AfterValidator(_names_the_version)] = Field(
        description="{agent}, {project}, {version}, {window} (seconds), {since} and {until} (ISO 8601) are filled in.",
        examples=["https://counts.example/{agent}/{version}?since={since}&until={until}"],
    )
    calls: Pointer = Field(description="A JSON pointer to the number of calls.", examples=["/calls"])
    failures: Pointer = Field(description="A JSON pointer to the number of failed calls.", examples=["/failed"])
    every: PositiveDuration = _every("30s", timedelta(seconds=30))
    delay: PositiveDuration = _delay("5s", timedelta(seconds=5))
    cluster: Cluster | None = _cluster()
    values: dict[ValueName, Pointer] = Field(
        default_factory=dict, description="Further numbers for value gates: JSON pointers."
    )
    credentials: CredentialsName | None = _credentials()

    def as_config(self) -> HttpConfig:
        return HttpConfig(**_plain(self))


class InsightsEntry(SourceEntry):
    """The agents' telemetry in a Log Analytics workspace; needs the extra azure-monitor."""

    workspace: Guid = Field(description="The workspace's id, a GUID.")
    every: PositiveDuration = _every("1m", timedelta(minutes=1))
    delay: PositiveDuration = _delay("3m", timedelta(minutes=3))
    cluster: Cluster | None = _cluster()

    def as_config(self) -> InsightsConfig:
        return InsightsConfig(**self.model_dump())


#: Each source's entry, by its name.
ENTRIES: dict[str, type[SourceEntry]] = {
    ProbeConfig.name: ProbeEntry,
    LogsConfig.name: LogsEntry,
    OutcomesConfig.name: OutcomesEntry,
    PrometheusConfig.name: PrometheusEntry,
    HttpConfig.name: HttpEntry,
    InsightsConfig.name: InsightsEntry,
}


class SourcesEntry(BaseModel):
    """Where measurements come from; a source that is not named here is off."""

    model_config = STRICT

    probe: ProbeEntry | None = None
    logs: LogsEntry | None = None
    outcomes: OutcomesEntry | None = None
    prometheus: PrometheusEntry | None = None
    http: HttpEntry | None = None
    application_insights: InsightsEntry | None = None

    def as_sources(self) -> Sources:
        """Return them in the core's words."""
        entries = {name: getattr(self, name) for name in type(self).model_fields}
        return Sources(**{name: entry.as_config() if entry else None for name, entry in entries.items()})

    def values_of(self, source: str) -> tuple[str, ...]:
        """Return the names of the further numbers that ``source`` tells."""
        return tuple(getattr(getattr(self, source.replace("-", "_")), "values", ()))
