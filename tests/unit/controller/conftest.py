"""A small world over the real store, on SQLite."""

from collections.abc import AsyncIterator
from copy import copy
from functools import cache
from pathlib import Path

import pytest

from databases import a_sqlite_database, a_sqlite_template
from fakes import FakePolicies, nobody
from foundry_rollouts.controller.unreadable import Troubles
from foundry_rollouts.core.model.routing import LATEST, Routing
from foundry_rollouts.store.leases import Holder
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.telemetry import Metrics
from in_the_loop import without_threads
from small_world import LEASE, SmallWorld, a_quick_policy
from unit.controller.towns import Town, TwoAgents


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_sqlite_template(tmp_path_factory.mktemp("template"))


@pytest.fixture
async def world(tmp_path: Path, template: Path) -> AsyncIterator[SmallWorld]:
    first = SqlStore(a_sqlite_database(tmp_path, template), replica="first", lease=LEASE, on_message=nobody)
    without_threads(first)

    @cache
    def open_as(replica: str) -> SqlStore:
        # Replicas come by the dozen, and each would open connections and compile every statement anew.
        store = copy(first)
        store._holder = Holder(replica, LEASE)
        return store

    yield SmallWorld(open_as)
    await first.close()


@pytest.fixture
def town(world: SmallWorld) -> Town:
    world.cloud = TwoAgents(name=world.cloud.name, latest="1", routing=Routing.of({LATEST: 100}))
    return Town(world, FakePolicies((a_quick_policy(),)), Metrics("test"), Troubles())
