"""Where a policy wants measurements to come from: one configuration for each source, which says what it can tell."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar, TypeVar

from foundry_rollouts.addresses import host_of, is_loopback
from foundry_rollouts.errors import UsageError


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a good answer to a prompt looks like; None is not checked."""

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


class Detail(StrEnum):
    """What a source may tell beside calls and failures, by the name of the gate that asks for it."""

    LATENCY = "latency"
    LOG_ERRORS = "log-errors"
    VALUE = "value"


class SourceConfig:
    """What every source says of itself: its name in policies and measurements, and what it can tell."""

    __slots__ = ()

    name: ClassVar[str]
    can_tell: ClassVar[frozenset[Detail]] = frozenset()

    @property
    def lag(self) -> timedelta:
        """How old its newest count may be when all is well."""
        return timedelta(0)

    @property
    def further_values(self) -> dict[str, str]:
        """The further numbers that it tells, by name: how each is found."""
        return {}


C = TypeVar("C", bound=SourceConfig)


@dataclass(frozen=True, slots=True)
class ProbeConfig(SourceConfig):
    """How often the probe asks: ``pairs`` of calls, one on stable and one on the canary, every so often."""

    name = "probe"
    can_tell = frozenset({Detail.LATENCY})

    prompts: tuple[Prompt, ...] = (HARMLESS,)
    every: timedelta = timedelta(seconds=10)
    pairs: int = 1


@dataclass(frozen=True, slots=True)
class LogsConfig(SourceConfig):
    """How many live sessions per version are followed."""

    name = "logs"
    can_tell = frozenset({Detail.LATENCY, Detail.LOG_ERRORS})

    sessions: int = 50


@dataclass(frozen=True, slots=True)
class OutcomesConfig(SourceConfig):
    """Callers report how their calls went; there is nothing to choose."""

    name = "outcomes"
    can_tell = frozenset({Detail.LATENCY, Detail.LOG_ERRORS})


@dataclass(frozen=True, slots=True, kw_only=True)
class PolledConfig(SourceConfig):
    """A server that is asked for the counts of a window."""

    every: timedelta = timedelta(seconds=30)  #: Windows are at least so long.
    cluster: float | None = None  #: Calls that fail together, at most; None: learnt from stable.
    delay: timedelta  #: How long a count may still change: windows end so long before now.

    def __post_init__(self) -> None:
        if self.cluster is not None and not 1 <= self.cluster <= 1000:
            raise UsageError(f"{self.name}: a cluster of {self.cluster:g} calls: write at least 1, at most 1000")

    @property
    def lag(self) -> timedelta:
        return self.every + self.delay


@dataclass(frozen=True, slots=True)
class PrometheusConfig(PolledConfig):
    """Two queries that count over ``{window}`` the calls, and the failures, of ``{version}`` of ``{agent}``."""

    name = "prometheus"
    can_tell = frozenset({Detail.VALUE})

    url: str
    calls: str
    failures: str
    delay: timedelta = field(default=timedelta(seconds=15), kw_only=True)
    values: tuple[tuple[str, str], ...] = ()  #: Further numbers, by name: queries.
    credentials: str | None = None  #: What the operator calls the login there; the secret itself is never here.

    @property
    def further_values(self) -> dict[str, str]:
        return dict(self.values)


@dataclass(frozen=True, slots=True)
class HttpConfig(PolledConfig):
    """An address that answers with JSON for one version and window, and where in it the counts stand.

    ``url`` may name ``{agent}``, ``{version}``, ``{window}`` (seconds), ``{since}`` and ``{until}`` (ISO 8601);
    ``calls`` and ``failures`` are JSON pointers.
    """

    name = "http"
    can_tell = frozenset({Detail.VALUE})

    url: str
    calls: str
    failures: str
    delay: timedelta = field(default=timedelta(seconds=5), kw_only=True)
    values: tuple[tuple[str, str], ...] = ()  #: Further numbers, by name: JSON pointers.
    credentials: str | None = None  #: What the operator calls the login there; the secret itself is never here.

    @property
    def further_values(self) -> dict[str, str]:
        return dict(self.values)


@dataclass(frozen=True, slots=True)
class InsightsConfig(PolledConfig):
    """A Log Analytics workspace that holds the agents' telemetry, which arrives minutes late."""

    name = "application-insights"

    workspace: str
    every: timedelta = field(default=timedelta(minutes=1), kw_only=True)
    delay: timedelta = field(default=timedelta(minutes=3), kw_only=True)


#: Every source, in the order in which policies are shown.
CONFIGS: tuple[type[SourceConfig], ...] = (
    ProbeConfig,
    LogsConfig,
    OutcomesConfig,
    PrometheusConfig,
    HttpConfig,
    InsightsConfig,
)
SOURCES = tuple(config.name for config in CONFIGS)


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources in use; None is switched off."""

    probe: ProbeConfig | None = field(default_factory=ProbeConfig)
    logs: LogsConfig | None = field(default_factory=LogsConfig)
    outcomes: OutcomesConfig | None = None
    prometheus: PrometheusConfig | None = None
    http: HttpConfig | None = None
    application_insights: InsightsConfig | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in SOURCES if self.config(name) is not None)

    def config(self, name: str) -> SourceConfig | None:
        """Return the configuration of the source ``name``; None when it is switched off."""
        config: SourceConfig | None = getattr(self, name.replace("-", "_"))
        return config

    def of(self, kind: type[C]) -> C | None:
        """Return the configuration of that kind; None when its source is switched off."""
        config = self.config(kind.name)
        return config if isinstance(config, kind) else None

    def values_of(self, name: str) -> dict[str, str]:
        """Return the further numbers that the source ``name`` tells."""
        config = self.config(name)
        return config.further_values if config else {}

    def cluster_of(self, stratum: str) -> float | None:
        """Return how many calls of ``stratum`` fail together at most; 1 where it counts sessions, None where learnt."""
        config = self.config(stratum.partition("/")[0])
        return config.cluster if isinstance(config, PolledConfig) else 1.0

    def lag(self, stratum: str) -> timedelta:
        """Return how old the newest count of ``stratum`` may be when all is well."""
        config = self.config(stratum.partition("/")[0])
        return config.lag if config else timedelta(0)


def is_in_the_clear(url: str) -> bool:
    """Whether what is sent to ``url`` can be read on the way: plain http, unless it never leaves this machine."""
    return not url.startswith("https://") and not (url.startswith("http://") and is_loopback(host_of(url)))
