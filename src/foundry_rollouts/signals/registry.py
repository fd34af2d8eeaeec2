"""Every source there is, by name: a new one is one more entry here."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from foundry_rollouts.core.model.sources import (
    HttpConfig,
    InsightsConfig,
    LogsConfig,
    OutcomesConfig,
    ProbeConfig,
    PrometheusConfig,
)
from foundry_rollouts.ports import Sessions, Source
from foundry_rollouts.signals.application_insights import InsightsCounter, connect
from foundry_rollouts.signals.credentials import Credentials
from foundry_rollouts.signals.fetching import Fetcher
from foundry_rollouts.signals.json_endpoint import HttpCounter
from foundry_rollouts.signals.limits import RateLimiter, cloud_budget
from foundry_rollouts.signals.logs import LogSource
from foundry_rollouts.signals.outcomes import OutcomeSource, ReportsKept
from foundry_rollouts.signals.own_sessions import OwnSessions
from foundry_rollouts.signals.polling import PollingSource
from foundry_rollouts.signals.probe import ProbeSource
from foundry_rollouts.signals.prometheus import PrometheusCounter
from foundry_rollouts.signals.streams import LogBudget, Streams
from foundry_rollouts.signals.wakeups import Wake


@dataclass(frozen=True, slots=True)
class Provisions:
    """What the settings give to sources: their logins, and the log streams that they share."""

    credentials: Credentials
    streams: Streams


@dataclass(frozen=True, slots=True)
class SourceParts:
    """What sources are made of: one budget of requests for all that ask the cloud, and one for all other servers."""

    sessions: Sessions
    reports: ReportsKept
    now: Callable[[], datetime]
    wake: Wake
    credentials: Credentials
    cloud_budget: RateLimiter
    budget: RateLimiter
    streams: Streams

    @property
    def log_budget(self) -> LogBudget:
        return LogBudget(self.cloud_budget, self.streams)

    @property
    def fetcher(self) -> Fetcher:
        return Fetcher(self.budget, credentials=self.credentials)


REGISTRY: dict[str, Callable[[SourceParts], Source]] = {
    ProbeConfig.name: lambda parts: ProbeSource(parts.sessions, parts.now, parts.wake, parts.cloud_budget),
    LogsConfig.name: lambda parts: LogSource(parts.sessions, parts.now, parts.wake, parts.log_budget),
    OutcomesConfig.name: lambda parts: OutcomeSource(parts.reports),
    PrometheusConfig.name: lambda parts: PollingSource(PrometheusCounter(parts.fetcher), parts.now),
    HttpConfig.name: lambda parts: PollingSource(HttpCounter(parts.fetcher), parts.now),
    InsightsConfig.name: lambda parts: PollingSource(InsightsCounter(parts.budget, connect), parts.now),
}


def every_source(
    sessions: Sessions, reports: ReportsKept, now: Callable[[], datetime], wake: Wake, given: Provisions
) -> tuple[Source, ...]:
    """Return the sources that policies may name; each watches nothing until it is asked."""
    # What one source opens is no traffic of users to another.
    own = OwnSessions(sessions, now)
    budgets = cloud_budget(now), RateLimiter(now), given.streams
    parts = SourceParts(own, reports, now, wake, given.credentials, *budgets)
    return tuple(make(parts) for make in REGISTRY.values())
