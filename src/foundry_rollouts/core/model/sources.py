"""Where a policy wants measurements to come from: one plan for each source."""

from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a good answer to a prompt looks like; None is not looked at."""

    status: int = 200
    contains: str | None = None
    regex: str | None = None
    schema: dict[str, Any] | None = None
    max_time: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question that the probe asks: text is sent by Responses, anything else by Invocations."""

    name: str
    input: Any
    expect: Expectation = Expectation()


#: What the probe asks when the policy names no prompts.
HARMLESS = Prompt(name="hello", input="Hello! Please answer with one short sentence.")


@dataclass(frozen=True, slots=True)
class ProbeConfig:
    """How often the probe asks: ``pairs`` of calls, one on stable and one on the canary, every so often."""

    prompts: tuple[Prompt, ...] = (HARMLESS,)
    every: timedelta = timedelta(seconds=10)
    pairs: int = 1


@dataclass(frozen=True, slots=True)
class LogsConfig:
    """How many live sessions per version are followed."""

    sessions: int = 50


@dataclass(frozen=True, slots=True)
class OutcomesConfig:
    """Callers report how their calls went; there is nothing to choose."""


@dataclass(frozen=True, slots=True)
class PrometheusConfig:
    """Two queries that count over ``{window}`` the calls, and the failures, of ``{version}`` of ``{agent}``.

    ``delay`` is how late a count may still change: windows end so long before now.
    """

    url: str
    calls: str
    failures: str
    every: timedelta = timedelta(seconds=30)
    delay: timedelta = timedelta(seconds=15)
    values: tuple[tuple[str, str], ...] = ()  #: Further numbers, by name: queries.
    credentials: str | None = None  #: What the operator calls the login there; the secret itself is never here.


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """An address that answers with JSON for one version and window, and where in it the counts stand.

    ``url`` may name ``{agent}``, ``{version}``, ``{window}`` (seconds), ``{since}`` and ``{until}`` (ISO 8601);
    ``calls`` and ``failures`` are JSON pointers.
    """

    url: str
    calls: str
    failures: str
    every: timedelta = timedelta(seconds=30)
    delay: timedelta = timedelta(seconds=5)
    values: tuple[tuple[str, str], ...] = ()  #: Further numbers, by name: JSON pointers.
    credentials: str | None = None  #: What the operator calls the login there; the secret itself is never here.


@dataclass(frozen=True, slots=True)
class InsightsPlan:
    """A Log Analytics workspace that holds the agents' telemetry, which arrives minutes late."""

    workspace: str
    every: timedelta = timedelta(minutes=1)
    delay: timedelta = timedelta(minutes=3)


PulledPlan = PrometheusConfig | HttpConfig | InsightsPlan


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources in use; None is switched off."""

    probe: ProbeConfig | None = field(default_factory=ProbeConfig)
    logs: LogsConfig | None = field(default_factory=LogsConfig)
    outcomes: OutcomesConfig | None = None
    prometheus: PrometheusConfig | None = None
    http: HttpConfig | None = None
    application_insights: InsightsPlan | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in SOURCES if self.plan(name) is not None)

    def plan(self, name: str) -> object | None:
        """Return the plan of the source ``name``; None when it is switched off."""
        plan: object | None = getattr(self, name.replace("-", "_"))
        return plan

    def values_of(self, name: str) -> dict[str, str]:
        """Return the further numbers that the source ``name`` tells."""
        plan = self.plan(name)
        return dict(plan.values) if isinstance(plan, PrometheusConfig | HttpConfig) else {}

    def lag(self, stratum: str) -> timedelta:
        """Return how old the newest count of ``stratum`` may be when all is well."""
        plan = self.plan(stratum.partition("/")[0])
        return (
            plan.every + plan.delay if isinstance(plan, PrometheusConfig | HttpConfig | InsightsPlan) else timedelta(0)
        )


def is_in_the_clear(url: str) -> bool:
    """Whether what is sent to ``url`` can be read on the way: plain http, unless it never leaves this machine."""
    try:
        parts = urlsplit(url)
        is_here = parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return not url.startswith("https://")
    return parts.scheme != "https" and not (parts.scheme == "http" and is_here)


#: Every source, by the name that policies and measurements give it.
SOURCES = ("probe", "logs", "outcomes", "prometheus", "http", "application-insights")
