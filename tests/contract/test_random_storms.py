"""Random storms: replicas stop, die and overtake each other while cloud, database and people do as they like.

The scheduler, the rooms below it and the store are the real ones. After each step the laws are held against what
stands in the store and in the cloud; at the end the weather is calm and everything has to come right.
STORM_EXAMPLES makes it longer: ``STORM_EXAMPLES=2000 pytest -s tests/contract/test_random_storms.py``.
"""

import os
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from databases import a_postgresql_database
from foundry_rollouts.core.model.effects import OnDrift
from plain_logs import log_plainly
from storm.arrivals import Arrivals
from storm.machine import Storm
from storm.small import Folder

EXAMPLES = int(os.environ.get("STORM_EXAMPLES", "30"))
STEPS = 50


def blow(
    new_database: Callable[[], AbstractContextManager[str]],
    examples: int,
    machine: type[Storm | Arrivals] = Storm,
) -> None:
    """Let so many storms blow, each over a database of its own."""
    machine.new_database = staticmethod(new_database)
    Storm.tally = Counter()
    calm = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        derandomize="STORM_EXAMPLES" not in os.environ,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, *((Phase.shrink,) if "STORM_SHRINK" in os.environ else ())),
        print_blob=True,
    )
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    try:
        run_state_machine_as_test(machine, settings=calm)
    finally:
        log_plainly()
    print(", ".join(f"{number} {what}" for what, number in sorted(Storm.tally.items())))  # noqa: T201 - asked for


@pytest.mark.timeout(3600)
def test_storms_over_sqlite_leave_every_law_standing(sqlite_template: Path) -> None:
    def new_database() -> AbstractContextManager[str]:
        return Folder(sqlite_template)

    blow(new_database, EXAMPLES)


@pytest.mark.timeout(3600)
def test_nothing_that_was_tried_is_tried_again_by_itself_and_no_end_before_the_begin_moves_anything(
    sqlite_template: Path,
) -> None:
    blow(lambda: Folder(sqlite_template), max(EXAMPLES // 2, 5), Arrivals)


@pytest.mark.timeout(3600)
def test_storms_over_postgresql_leave_every_law_standing(postgresql: str, postgresql_template: str) -> None:
    blow(lambda: a_postgresql_database(postgresql, postgresql_template), max(EXAMPLES // 8, 5))


REGRESSIONS = {
    "discovery is first when the database is back": (
        ("tick", 0),
        ("tick", 0),
        ("weather", ("canary", True)),
        ("weather", ("database", True)),
        ("sweep", 0),
        ("weather", ("newer", "3")),
        ("weather", ("database", False)),
        ("discover", 0),
    ),
    "renewal is first when the database is back": (
        ("tick", 0),
        ("tick", 0),
        ("weather", ("canary", True)),
        ("weather", ("database", True)),
        ("sweep", 0),
        ("weather", ("time", 31)),
        ("weather", ("database", False)),
        ("renew", 0),
    ),
}


@pytest.mark.parametrize("storm", REGRESSIONS)
def test_a_rollback_without_a_database_is_recorded_whatever_comes_first_when_it_is_back(
    sqlite_template: Path, storm: str
) -> None:
    Storm.new_database = staticmethod(lambda: Folder(sqlite_template))
    machine = Storm()
    try:
        machine.begin(replicas=1, on_drift=OnDrift.PAUSE, is_bad=False)
        for what, how in REGRESSIONS[storm]:
            if what in {"sweep", "discover", "renew"}:
                machine.go(0, what, 100)
            else:
                getattr(machine, what)(how)
        machine.tick(0)
        machine.the_history_tells_how_the_rollout_stands()
        assert [event.kind for event in machine.told][2:] == ["rollout.advanced", "rollout.rolled_back"]
    finally:
        machine.teardown()


#: A sweep that moves the canary touches cloud and store so often, with a stop before and after each.
STOPS = 22


@pytest.mark.timeout(600)
@pytest.mark.parametrize("is_bad", [False, True], ids=["good", "bad"])
def test_a_replica_that_is_overtaken_at_any_touch_does_no_harm(sqlite_template: Path, is_bad: bool) -> None:
    Storm.new_database = staticmethod(lambda: Folder(sqlite_template))
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    try:
        for touches in range(1, STOPS + 1):
            machine = Storm()
            try:
                machine.begin(replicas=2, on_drift=OnDrift.RESTORE, is_bad=False)
                machine.tick(1)
                machine.overtake(0, touches, ("canary", is_bad), 31)
                machine.the_history_tells_how_the_rollout_stands()
            finally:
                machine.teardown()
    finally:
        log_plainly()
