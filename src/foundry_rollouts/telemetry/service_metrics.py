"""The metrics of the service itself: whether it does its work, what it asks of the cloud, what it has yet to send."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from heapq import nsmallest
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from foundry_rollouts.ports.outcomes import Result
from foundry_rollouts.telemetry.series import THE_REST
from foundry_rollouts.tracing import trace_ids

#: So many agents are named for each problem, the first by name; the gauges of their number count all.
MOST_NAMED = 100

LAGS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
LATENCIES = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


# One more series for each counter and each histogram, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Problem(StrEnum):
    """What is wrong with an agent."""

    UNGOVERNED = "ungoverned"  #: No policy names it, or several do equally.
    UNREADABLE = "unreadable"  #: It cannot be read, decided or recorded.
    UNPINNED = "unpinned"  #: A policy names it, and its endpoint follows the latest version.
    DRIFTED = "drifted"  #: No rollout is under way, and its weights are not as recorded.


class Delivery(StrEnum):
    """What came of an attempt to send a message."""

    DELIVERED = "delivered"
    FAILED = "failed"  #: It is tried again.
    GIVEN_UP = "given_up"


class StreamCount(Protocol):
    """Whoever knows how many log streams are open, how many may be, and how many there would be without a bound."""

    @property
    def open(self) -> int: ...
    @property
    def most(self) -> int: ...
    @property
    def wanted(self) -> int: ...


class ServiceMetrics:
    """The metrics that belong to no rollout, in a registry of their own. Times arrive as arguments."""

    def __init__(self, version: str | None = None, most_agents: int = MOST_NAMED) -> None:
        self._most_agents = most_agents
        self.registry = CollectorRegistry()
        self._without_notice: set[str] = set()  # agents that have such a series
        self._problems: dict[Problem, dict[str, tuple[tuple[str, ...], int]]] = {}  # by problem and project
        self._stopped: set[str] = set()  # projects whose line has a series
        self._named: dict[Problem, set[str]] = {}  # agents that have a series of that problem
        self._build()
        self._build_brakes()
        self._gauge("build_info", "Always 1; the version of the controller.", "version").labels(
            version or _own_version()
        ).set(1)
        ProcessCollector(registry=self.registry)

    def tick_lag(self, seconds: float) -> None:
        """Record how long after its due time a rollout was checked."""
        self._tick_lag.observe(max(seconds, 0.0))

    def policies(self, in_force: Mapping[str, str], problems: int, now: datetime) -> None:
        """Show the policies in force since now, by name with their hashes, and how many problems keep others out."""
        self._policies.set(len(in_force))
        self._policy_info.clear()
        for name, said in in_force.items():
            self._policy_info.labels(name, said).set(1)
        self._policy_problems.set(problems)
        self._policies_loaded.set(now.timestamp())

    def discovered(self, age: timedelta) -> None:
        """Show how long ago the agents were last listed."""
        self._discovery_age.set(max(age.total_seconds(), 0.0))

    def projects(self, ages: Mapping[str, timedelta]) -> None:
        """Show how long ago the agents of each of several projects were listed."""
        for project, age in ages.items():
            self._project_age.labels(project).set(max(age.total_seconds(), 0.0))

    def problems(self, problem: Problem, agents: Collection[str], nameless: int = 0, project: str = "") -> None:
        """Show how many agents have that problem, those of other projects included, and the first hundred by name."""
        of_all = self._problems.setdefault(problem, {})
        of_all[project] = (tuple(agents), nameless)
        self._counts[problem].set(sum(len(those) + more for those, more in of_all.values()))
        named = set(nsmallest(MOST_NAMED, (agent for those, _ in of_all.values() for agent in those)))
        for agent in self._named.get(problem, set()) - named:
            self._problem.remove(agent, problem.value)
        for agent in named:
            self._problem.labels(agent, problem.value).set(1)
        self._named[problem] = named

    def database(self, *, is_up: bool) -> None:
        """Show whether the database answered at the last sweep."""
        self._database_up.set(is_up)

    def unacknowledged(self, counts: Mapping[str, int]) -> None:
        """Show how many rollouts of each agent ended badly without anybody knowing of it."""
        shown = dict(sorted(counts.items())[: self._most_agents])
        if rest := sum(counts.values()) - sum(shown.values()):
            shown[THE_REST] = rest
        for agent in self._without_notice - shown.keys():
            self._unacknowledged.remove(agent)
        for agent, count in shown.items():
            self._unacknowledged.labels(agent).set(count)
        self._without_notice = set(shown)

    def brakes(self, lines: Collection[str], held: int) -> None:
        """Show whose line is stopped, by project (empty: of all), and how many agents are held."""
        for project in self._stopped - set(lines):
            self._line_stopped.remove(project)
        for project in lines:
            self._line_stopped.labels(project).set(1)
        self._stopped = set(lines)
        self._agents_held.set(held)

    def swept(self, now: datetime) -> None:
        """Show when the last sweep ended."""
        self._last_sweep.set(now.timestamp())

    def requested(self, operation: str, status: int | None, seconds: float) -> None:
        """Count one request to the cloud; the status is None when no answer came."""
        self._requests.labels(operation, "none" if status is None else str(status)).inc()
        self._request_seconds.labels(operation).observe(seconds, exemplar())

    def source_error(self, source: str, kind: str) -> None:
        """Count one failure of a source to measure."""
        self._source_errors.labels(source, kind).inc()

    def outcomes(self, result: Result, count: int = 1) -> None:
        """Count calls that callers reported, by what became of them."""
        self._outcomes.labels(result.value).inc(count)

    def leases(self, held: int) -> None:
        """Show how many leases this replica holds."""
        self._leases.set(held)

    def shares(self, live: int, fair: float) -> None:
        """Show how many replicas are alive, and how many leases each has when all have as many."""
        self._live.set(live)
        self._fair_share.set(fair)

    def ticks(self, in_hand: int, waiting: int) -> None:
        """Show how many ticks are under way, and how many are due and wait for their turn."""
        self._ticks_in_hand.set(in_hand)
        self._ticks_waiting.set(waiting)

    def follow_streams(self, streams: StreamCount) -> None:
        """Show at each scrape how many log streams are open and how many are wanted, and how many may be open."""
        self._streams_open.set_function(lambda: streams.open)
        self._streams_wanted.set_function(lambda: streams.wanted)
        self._streams_limit.set(streams.most)

    def outbox(self, pending: int, waits: timedelta) -> None:
        """Show how many messages are recorded and not yet sent, and how long the oldest has been waiting."""
        self._outbox.set(pending)
        self._outbox_oldest.set(max(waits.total_seconds(), 0.0))

    def delivery(self, outcome: Delivery, count: int = 1) -> None:
        """Count what came of attempts to send a message."""
        self._deliveries.labels(outcome.value).inc(count)

    def notices(self, target: str, pending: int, waits: timedelta) -> None:
        """Show how many messages wait for a target, and how long the oldest has been waiting."""
        self._notices.labels(target).set(pending)
        self._notices_oldest.labels(target).set(max(waits.total_seconds(), 0.0))

    def noticed(self, target: str, outcome: Delivery) -> None:
        """Count what came of an attempt to send a message to a target."""
        self._noticed.labels(target, outcome.value).inc()

    def _build(self) -> None:
        self._tick_lag = self._histogram("tick_lag_seconds", "How late a due rollout was checked.", LAGS)
        self._last_sweep = self._gauge("last_sweep_timestamp_seconds", "When the last sweep ended.")
        self._discovery_age = self._gauge("discovery_age_seconds", "How long ago the agents were last listed.")
        self._policies = self._gauge("policies", "Policies in force.")
        self._policy_info = self._gauge("policy_info", "Always 1; what the policy says.", "policy", "hash")
        self._policy_problems = self._gauge("policy_problems", "Problems of policies that are not in force.")
        self._policies_loaded = self._gauge("policies_loaded_timestamp_seconds", "When the policies were last loaded.")
        self._database_up = self._gauge("database_up", "1 if the database answered at the last sweep, else 0.")
        self._build_problems()
        self._unacknowledged = self._gauge(
            "unacknowledged_rollbacks", "Rollouts that ended badly and nobody acknowledged; no series: none.", "agent"
        )
        self._requests = self._counter(
            "foundry_requests", "Requests to the cloud; status none means no answer.", "operation", "status"
        )
        self._request_seconds = self._histogram(
            "foundry_request_seconds", "How long the cloud took to answer.", LATENCIES, "operation"
        )
        self._source_errors = self._counter("source_errors", "Failures of a source to measure.", "source", "kind")
        self._outcomes = self._counter("outcomes", "Calls that callers reported, by result.", "result")
        for result in Result:
            self._outcomes.labels(result.value)
        self._leases = self._gauge("leases_held", "Leases that this replica holds.")
        self._live = self._gauge("replicas_live", "Replicas alive by their heartbeats; 0: not known.")
        self._fair_share = self._gauge("leases_fair_share", "Leases this replica would hold if all had as many.")
        self._ticks_in_hand = self._gauge("ticks_in_hand", "Agents that are being acted on.")
        self._ticks_waiting = self._gauge("ticks_waiting", "Agents that are due and wait for their turn.")
        self._build_notices()
        self._build_streams()

    def _build_streams(self) -> None:
        self._streams_open = self._gauge("log_streams_open", "Log streams of sessions that are open.")
        self._streams_wanted = self._gauge(
            "log_streams_wanted", "Log streams it would take to follow every session that policies let be followed."
        )
        self._streams_limit = self._gauge("log_streams_limit", "Log streams that may be open at once.")

    def _build_notices(self) -> None:
        self._outbox = self._gauge("outbox_pending", "Messages recorded and not yet sent.")
        self._outbox_oldest = self._gauge("outbox_oldest_seconds", "Age of the oldest message not yet sent.")
        self._deliveries = self._counter("deliveries", "Attempts to send a message, by outcome.", "outcome")
        for outcome in Delivery:
            self._deliveries.labels(outcome.value)
        self._notices = self._gauge("notify_pending", "Messages to a target that are due or tried again.", "target")
        self._notices_oldest = self._gauge("notify_oldest_seconds", "Age of the oldest of them.", "target")
        self._noticed = self._counter(
            "notify_deliveries", "Attempts to send a message to a target, by outcome.", "target", "outcome"
        )

    def _build_brakes(self) -> None:
        self._line_stopped = self._gauge(
            "line_stopped", "1 while the line is stopped; project is empty for that of all projects.", "project"
        )
        self._agents_held = self._gauge("agents_held", "Agents that a person holds at a version.")

    def _build_problems(self) -> None:
        texts = {
            Problem.UNGOVERNED: "Agents without a policy: their new versions get no trial.",
            Problem.UNREADABLE: "Agents that cannot be read, decided or recorded.",
            Problem.UNPINNED: "Agents with a policy whose endpoint follows the latest version.",
            Problem.DRIFTED: "Agents whose weights are not as recorded while no rollout is under way.",
        }
        self._counts = {problem: self._gauge(f"agents_{problem}", text) for problem, text in texts.items()}
        self._project_age = self._gauge(
            "project_discovery_age_seconds",
            "How long ago the agents of a project were last listed, where there are several projects.",
            "project",
        )
        self._problem = self._gauge(
            "agent_problem", "1 for each problem of an agent, for the first hundred by name.", "agent", "problem"
        )

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, namespace="foundry_rollouts", registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace="foundry_rollouts", registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, text, labels, namespace="foundry_rollouts", buckets=buckets, registry=self.registry)


def exemplar() -> dict[str, str] | None:
    """Return the label that leads from a measured value to its trace; None where there is none."""
    ids = trace_ids()
    return {"trace_id": ids[0]} if ids else None


def _own_version() -> str:
    try:
        return version_of("foundry-rollouts")
    except PackageNotFoundError:
        return "unknown"
