"""Several projects, each discovered for itself: one that is away, slow or not whole keeps nothing from the others."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from foundry_rollouts.controller.discover import Discovery
from foundry_rollouts.controller.governance import Survey
from foundry_rollouts.controller.lease_pool import LeasePool
from foundry_rollouts.controller.unreadable import Troubles
from foundry_rollouts.core.model.agent_names import project_in
from foundry_rollouts.errors import StoreError, UnavailableError
from foundry_rollouts.ports import Condition, Store
from foundry_rollouts.telemetry import Metrics

log = structlog.get_logger()

#: How long a round waits for a project that was in time the round before; a slow one goes on behind it.
WAIT = timedelta(seconds=10)
#: How many agents that nobody watches any more are reported in one round.
AT_A_ROUND = 50
UNWATCHED = "no longer among FOUNDRY_ROLLOUTS_PROJECTS: nobody watches its agents"


@dataclass(slots=True)
class ProjectState:
    """How the last listings of one project went."""

    discovery: Discovery
    task: asyncio.Task[Survey] | None = None
    is_late: bool = False
    listed_at: datetime | None = None
    trouble: str | None = None
    survey: Survey = field(default_factory=Survey)


@dataclass(slots=True)
class Discoveries:
    """Discovers every project at once; to the scheduler it is one discovery."""

    states: Mapping[str, ProjectState]
    metrics: Metrics
    now: Callable[[], datetime]
    patience: timedelta
    store: Store
    pool: LeasePool
    troubles: Troubles
    wait: timedelta = WAIT
    unwatched: Mapping[str, int] = field(default_factory=dict)  #: How many agents are known of projects taken out.
    unreported: list[str] = field(default_factory=list)  #: Those of them of which it is not said yet.
    started_at: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.started_at = self.now()

    async def discover(self) -> Survey:
        """List the agents of every project; return what is known of all. Raises UnavailableError when all are away.

        A project whose last listing is still under way is not listed again.
        """
        await self._take_all()
        for name, state in self.states.items():
            state.task = state.task or asyncio.create_task(state.discovery.discover(), name=f"discover {name}")
        await self._report_unwatched()
        tasks = [state.task for state in self.states.values() if state.task is not None and not state.is_late]
        try:
            # A project that was late the last time is not waited for: the others go on in their own time.
            await asyncio.wait(tasks, timeout=self.wait.total_seconds()) if tasks else await asyncio.sleep(0)
        except asyncio.CancelledError:
            await self.close()
            raise
        await self._take_all()
        return self._survey()

    async def close(self) -> None:
        """Cut off the listings that are under way."""
        tasks = [state.task for state in self.states.values() if state.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def conditions(self, now: datetime) -> list[Condition]:
        """Return a line for each project; one that is away leaves the service ready."""
        found = [self._condition(name, state, now) for name, state in self.states.items()]
        for name, count in self.unwatched.items():
            because = f"{UNWATCHED}; {count} of them are remembered"
            found.append(Condition(f"project {name}", False, because, is_essential=False))
        return found

    def _condition(self, name: str, state: ProjectState, now: datetime) -> Condition:
        because, is_well = "the agents were listed", True
        if state.trouble is not None:
            because, is_well = state.trouble, False
        elif state.listed_at is None:
            because, is_well = "the agents were not listed yet", False
        elif now - state.listed_at > self.patience:
            age = round((now - state.listed_at).total_seconds())
            because, is_well = f"the agents were last listed {age} s ago", False
        return Condition(f"project {name}", is_well, because, is_essential=False)

    async def _take_all(self) -> None:
        """Take note of the listings that have ended. Raises StoreError: the database is that of all projects."""
        failed: list[StoreError] = []
        for name, state in self.states.items():
            task, state.is_late = state.task, state.task is not None and not state.task.done()
            if task is None or not task.done():
                continue
            state.task = None
            try:
                self._well(name, state, await task)
            except StoreError as error:
                failed.append(error)
            except UnavailableError as error:
                self._troubled(name, state, str(error))
            except Exception as error:
                # One project's fault must not stop the others; the next listing tries again.
                log.exception("project.crashed", project=name)
                self._troubled(name, state, f"its agents could not be processed ({type(error).__name__})")
        if failed:
            raise failed[0]

    def _well(self, name: str, state: ProjectState, survey: Survey) -> None:
        if state.trouble is not None:
            log.info("project.found", project=name, because="the agents could be listed again")
        state.trouble, state.listed_at, state.survey = None, self.now(), survey

    def _troubled(self, name: str, state: ProjectState, because: str) -> None:
        if state.trouble is None:
            log.warning("project.lost", project=name, because=because)
        state.trouble = because

    async def _report_unwatched(self) -> None:
        """Report some of the agents that nobody watches any more; they are said to be readable when they are again."""
        for _ in range(min(AT_A_ROUND, len(self.unreported))):
            name = self.unreported.pop()
            why = f"project {project_in(name)} is {UNWATCHED}"
            await self.troubles.report(self.pool, self.store, name, why, self.now)

    async def let_go(self, projects: Collection[str]) -> None:
        """Note that those projects, which the database knows, are watched no more."""
        agents = [agent for agent in await self.store.agents() if project_in(agent.name) in projects]
        self.unwatched = {each: sum(project_in(agent.name) == each for agent in agents) for each in projects}
        self.unreported = [agent.name for agent in agents if agent.unreadable is None and not agent.is_gone]
        for name, count in self.unwatched.items():
            log.warning("project.unwatched", project=name, because=UNWATCHED, agents=count)

    def _survey(self) -> Survey:
        now = self.now()
        ages = {name: now - (state.listed_at or self.started_at) for name, state in self.states.items()}
        self.metrics.projects(ages)
        lines = [self._condition(name, state, now) for name, state in self.states.items()]
        if not any(each.is_well for each in lines):
            raise UnavailableError("; ".join(f"{each.name}: {each.because}" for each in lines))
        surveys = [state.survey for state in self.states.values()]
        return Survey(
            sum(each.governed for each in surveys),
            sum(each.ungoverned for each in surveys),
            tuple(tie for each in surveys for tie in each.ties),
            tuple(one for each in surveys for one in each.nameless),
        )


#: What lists the agents: of one project, or of several.
Listing = Discovery | Discoveries
