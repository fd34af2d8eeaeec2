"""Every source there is, with one budget of requests for all that ask the cloud, and one for all other servers."""

from collections.abc import Callable
from datetime import datetime

from foundry_rollouts.ports import Sessions, Source
from foundry_rollouts.signals.application_insights import InsightsCounter, connect
from foundry_rollouts.signals.credentials import Credentials
from foundry_rollouts.signals.fetching import Fetcher
from foundry_rollouts.signals.json_endpoint import HttpCounter
from foundry_rollouts.signals.limits import RateLimiter, cloud_budget
from foundry_rollouts.signals.logs import LogSource
from foundry_rollouts.signals.outcomes import OutcomeSource, ReportsKept
from foundry_rollouts.signals.polling import PollingSource
from foundry_rollouts.signals.probe import ProbeSource
from foundry_rollouts.signals.prometheus import PrometheusCounter
from foundry_rollouts.signals.wakeups import Wake


def every_source(
    sessions: Sessions, reports: ReportsKept, now: Callable[[], datetime], wake: Wake, credentials: Credentials
) -> tuple[Source, ...]:
    """Return the sources that policies may name; each watches nothing until it is asked."""
    budget, cloud = RateLimiter(now), cloud_budget(now)
    return (
        ProbeSource(sessions, now, wake, cloud),
        LogSource(sessions, now, wake, cloud),
        OutcomeSource(reports),
        PollingSource(PrometheusCounter(Fetcher(budget, credentials=credentials)), now),
        PollingSource(HttpCounter(Fetcher(budget, credentials=credentials)), now),
        PollingSource(InsightsCounter(budget, connect), now),
    )
