"""Every metric of the controller, by name.

No session, request or rollout id is ever a label, and series of what is over go away.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from prometheus_client.exposition import choose_encoder

from foundry_rollouts.core.judging.analysis import Analysis, Verdict
from foundry_rollouts.core.model.awaited import waits_for
from foundry_rollouts.core.model.failures import ErrorKind
from foundry_rollouts.core.model.measurement import Counts, Measurement
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from foundry_rollouts.telemetry.series import THE_REST, AgentCounter, AgentGauge, Departures, Labels, Places, Rank
from foundry_rollouts.telemetry.service_metrics import ServiceMetrics, exemplar

#: How long the series of a finished rollout stay, so that a last scrape sees how it ended.
AFTERLIFE = timedelta(minutes=10)

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
DURATIONS = (MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 3 * DAY)

#: Agents that have series of their own, unless a setting says otherwise.
MOST_AGENTS = 500
#: Verdicts that somebody may want to know of.
TROUBLES = frozenset({Verdict.FAIL, Verdict.SOURCE_ERROR, Verdict.SHARED_TROUBLE, Verdict.SPLIT_IGNORED})


class Troubled(Protocol):
    """Whoever knows what is wrong, one line each."""

    @property
    def problems(self) -> Sequence[str]: ...


class Metrics(ServiceMetrics):
    """Every metric of the controller, in a registry of its own. Times arrive as arguments."""

    def __init__(self, version: str | None = None, most_agents: int = MOST_AGENTS) -> None:
        """Let so many agents have series of their own: of the others there are sums."""
        self._places = Places(most_agents)
        super().__init__(version, most_agents)
        self._shown: dict[str, str] = {}  # agent to the id of the rollout whose series it has
        self._leaving = Departures()  # agents whose rollout has ended
        self._gone = Departures()  # agents that the cloud shows no more

    def show(self, rollout: Rollout, analysis: Analysis | None, now: datetime) -> None:
        """Show where ``rollout`` stands and what its gates said; None leaves the gates as they were."""
        agent, waits = rollout.agent, waits_for(rollout, now)
        self.sweep_series(now)
        if not self._has_place(agent, _rank(rollout, analysis, is_waited_for=waits is not None)):
            return
        if self._shown.get(agent) != rollout.id:
            self._drop(agent)
        self._shown[agent] = rollout.id
        self._info.replace(agent, {(rollout.canary, rollout.stable or "", rollout.policy.name): 1})
        self._phase.replace(agent, {(phase.value,): float(phase is rollout.phase) for phase in Phase})
        self._step.replace(agent, {(): rollout.step})
        started = rollout.step_started_at
        self._step_started.replace(agent, {(): started.timestamp()} if started and not rollout.phase.is_final else {})
        self._waiting.replace(agent, {(waits.value,): 1} if waits else {})
        self._step_backs.replace(agent, {(): rollout.step_backs})
        missing = rollout.approvals_missing
        self._approvals.replace(agent, {(): missing} if missing else {})
        self._held.replace(agent, {(by,): 1 for by in (rollout.held_by or "").split(", ") if by})
        if analysis is not None:
            self._verdict.replace(agent, {(each.value,): float(each is analysis.verdict) for each in Verdict})
            self._show_gates(agent, analysis)

    def _has_place(self, agent: str, rank: Rank | None = None) -> bool:
        """Whether an agent has series of its own; where there is no room, one of a lower rank loses them to it."""
        has_place, loser = self._places.take(agent, self._places.rank(agent) if rank is None else rank)
        if loser is not None:
            self._take_away(loser)
        self._without_series.set(len(self._places.left_out))
        return has_place

    def queued(self, agent: str, waiting: int) -> None:
        """Show how many rollouts of ``agent`` wait behind the current one."""
        if agent in self._places or (waiting and self._has_place(agent)):
            self._queued.replace(agent, {(): waiting} if waiting else {})

    def decided(self, agent: str, decision: str) -> None:
        """Count one decision: ``hold``, ``advance``, ``rollback`` and so on."""
        self._decisions.add(self._counted_under(agent), (decision,), exemplar=exemplar())

    def would_have(self, agent: str, decision: str) -> None:
        """Count one decision of a policy that observes: nothing was moved for it."""
        self._would_have.add(self._counted_under(agent), (decision,))

    def calendars(self, read: Troubled | None) -> None:
        """Show how many calendars cannot be read; the last good ones hold meanwhile."""
        self._calendar_problems.set(len(read.problems) if read else 0)

    def ended(self, rollout: Rollout, now: datetime) -> None:
        """Record how long ``rollout`` took, and let its series go away in ten minutes."""
        if not rollout.phase.is_final:
            return
        took = (rollout.ended_at or now) - (rollout.started_at or rollout.created_at)
        self._duration.labels(rollout.phase.value).observe(max(took.total_seconds(), 0.0))
        if rollout.agent not in self._places:
            self._leave(rollout.agent)
        if self._shown.get(rollout.agent) == rollout.id:
            self._leaving.set(rollout.agent, now + AFTERLIFE)

    def change_refused(self, agent: str, change: str) -> None:
        """Count one change that the cloud refused: ``forward``, ``back`` or ``pin``."""
        self._refused_changes.add(self._counted_under(agent), (change,))

    def measured(self, agent: str, measurements: Iterable[Measurement]) -> None:
        """Count the failures of recorded measurements, by kind."""
        for each in measurements:
            for role, counts in (("canary", each.canary), ("stable", each.stable)):
                for kind, count in _failures(counts):
                    self._failures.add(self._counted_under(agent), (each.source, role, kind), count)

    def _counted_under(self, agent: str) -> str:
        return agent if self._has_place(agent) else THE_REST

    def sweep_series(self, now: datetime) -> None:
        """Take away the series of rollouts that ended ten minutes ago, and of agents that went then."""
        for agent in self._gone.due(now):
            self.forget(agent)
        for agent in self._leaving.due(now):
            self._drop(agent)
            self._has_place(agent, Rank.IDLE)

    def see(self, known: Collection[str], seen: Collection[str], now: datetime) -> None:
        """Let the series go, in ten minutes, of agents that were ``known`` and are not ``seen`` any more."""
        for agent in self._places.agents:
            if agent in seen:
                self._gone.cancel(agent)
            elif agent in known and agent not in self._gone:
                self._gone.set(agent, now + AFTERLIFE)

    def forget(self, agent: str) -> None:
        """Take away everything about ``agent``: it is gone, or another replica has it now."""
        self._leave(agent)
        self._take_away(agent)

    def _leave(self, agent: str) -> None:
        self._places.leave(agent)
        self._without_series.set(len(self._places.left_out))

    def _take_away(self, agent: str) -> None:
        self._drop(agent)
        self._weight.replace(agent, {})
        self._queued.replace(agent, {})
        for counter in (self._decisions, self._would_have, self._refused_changes, self._failures):
            counter.forget(agent)

    def routing(self, agent: str, routing: Routing, stable: str | None, canary: str | None) -> None:
        """Show the weights of ``agent`` as confirmed; the role is stable, canary or other."""
        roles = {stable: "stable", canary: "canary"}
        if not self._has_place(agent):
            return
        weights = dict.fromkeys((v for v in (stable, canary) if v), 0) | dict(routing.weights)
        self._weight.replace(agent, {(v, roles.get(v, "other")): weight for v, weight in weights.items()})

    def phases(self, counts: Mapping[Phase, int]) -> None:
        """Show how many rollouts there are in each phase."""
        for phase in Phase:
            self._rollouts.labels(phase.value).set(counts.get(phase, 0))

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics and their content type, as OpenMetrics where ``accept`` asks for it."""
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):
            # The library stumbles over a header whose version is no number; a scrape must not fail for it.
            encode, content_type = choose_encoder("")
        return encode(self.registry), content_type

    def _show_gates(self, agent: str, analysis: Analysis) -> None:
        values: dict[Labels, float] = {
            (reading.gate, role): value
            for reading in analysis.gates
            for role, value in (("canary", reading.canary_value), ("stable", reading.stable_value))
            if value is not None
        }
        thresholds: dict[Labels, float] = {(r.gate,): r.threshold for r in analysis.gates if r.threshold is not None}
        verdicts: dict[Labels, float] = {
            (reading.gate, verdict.value): float(verdict is reading.verdict)
            for reading in analysis.gates
            for verdict in Verdict
        }
        self._gate_value.replace(agent, values)
        self._gate_threshold.replace(agent, thresholds)
        self._gate_verdict.replace(agent, verdicts)

    def _drop(self, agent: str) -> None:
        self._shown.pop(agent, None)
        self._leaving.cancel(agent)
        for series in self._of_rollout:
            series.replace(agent, {})

    def _build(self) -> None:
        self._rollouts = self._gauge("rollouts", "Rollouts in each phase.", "phase")
        self._without_series = self._gauge(
            "rollouts_without_series", "Agents with a rollout that have no series of their own: there are too many."
        )
        self._info = AgentGauge(
            self._gauge("rollout_info", "Always 1; the versions on trial.", "agent", "canary", "stable", "policy")
        )
        self._phase = AgentGauge(
            self._gauge("rollout_phase", "1 for the phase the rollout is in, else 0.", "agent", "phase")
        )
        self._verdict = AgentGauge(
            self._gauge("rollout_verdict", "1 for the verdict on all gates together, else 0.", "agent", "verdict")
        )
        self._queued = AgentGauge(
            self._gauge("queued_rollouts", "Rollouts queued behind the current one; no series means none.", "agent")
        )
        self._weight = AgentGauge(
            self._gauge("weight", "Percent of new sessions, as confirmed.", "agent", "version", "role")
        )
        self._of_rollout = (self._info, self._phase, self._verdict, *self._build_steps(), *self._build_gates())
        self._build_counts()
        for phase in Phase:
            if phase.is_final:
                self._duration.labels(phase.value)
        super()._build()

    def _build_counts(self) -> None:
        self._decisions = AgentCounter(self._counter("decisions", "Decisions about rollouts.", "agent", "decision"))
        self._would_have = AgentCounter(
            self._counter(
                "would_have", "Decisions of policies in mode observe, for which nothing was moved.", "agent", "decision"
            )
        )
        self._calendar_problems = self._gauge(
            "calendar_problems", "Calendars that cannot be read; the last good ones hold, or everything does."
        )
        self._failures = AgentCounter(
            self._counter("failures", "Failed calls that sources counted, by kind.", "agent", "source", "role", "kind")
        )
        self._refused_changes = AgentCounter(
            self._counter("refused_changes", "Changes that the cloud refused: forward, back or pin.", "agent", "change")
        )
        self._duration = self._histogram(
            "rollout_duration_seconds", "From the first step to the end.", DURATIONS, "outcome"
        )

    def _build_steps(self) -> tuple[AgentGauge, ...]:
        self._step = AgentGauge(self._gauge("rollout_step", "Number of the current step, from 1; 0 before.", "agent"))
        self._step_started = AgentGauge(
            self._gauge("rollout_step_started_timestamp_seconds", "When the current step began.", "agent")
        )
        self._waiting = AgentGauge(
            self._gauge(
                "waiting", "1 while an approval, a person, or a proof that is late is waited for.", "agent", "for"
            )
        )
        self._step_backs = AgentGauge(
            self._gauge("rollout_step_backs", "How often the rollout went from 100 back to the weight before.", "agent")
        )
        self._held = AgentGauge(
            self._gauge("held", "1 while a freeze, hours and so on keep the rollout from going on.", "agent", "by")
        )
        self._approvals = AgentGauge(
            self._gauge("approvals_missing", "How many more people must approve before the rollout goes on.", "agent")
        )
        return self._step, self._step_started, self._waiting, self._step_backs, self._held, self._approvals

    def _build_gates(self) -> tuple[AgentGauge, ...]:
        self._gate_value = AgentGauge(
            self._gauge("gate_value", "Share of samples that failed, from 0 to 1.", "agent", "gate", "role")
        )
        self._gate_threshold = AgentGauge(
            self._gauge("gate_threshold", "Share the canary must not exceed, from 0 to 1.", "agent", "gate")
        )
        self._gate_verdict = AgentGauge(
            self._gauge("gate_verdict", "1 for the gate's verdict, else 0.", "agent", "gate", "verdict")
        )
        return self._gate_value, self._gate_threshold, self._gate_verdict


def _rank(rollout: Rollout, analysis: Analysis | None, *, is_waited_for: bool) -> Rank:
    """Return whether somebody has to see to the rollout; one that goes its way can do without series."""
    is_bad = rollout.phase.is_final and rollout.phase not in {Phase.PROMOTED, Phase.SUPERSEDED, Phase.OBSERVED}
    is_accused = analysis is not None and analysis.verdict in TROUBLES
    return Rank.TROUBLED if is_waited_for or is_bad or is_accused else Rank.CALM


def _failures(counts: Counts) -> Iterator[tuple[str, int]]:
    """Yield each kind of failure that there is, and how often."""
    kinds = {
        "error": counts.failures - counts.rate_limited,
        ErrorKind.RATE_LIMITED.value: counts.rate_limited,
        ErrorKind.CLIENT_ERROR.value: counts.client_errors,
    }
    return ((kind, count) for kind, count in kinds.items() if count)
