"""Every source is known everywhere: to the core, to policy files, and to whoever builds the sources."""

from dataclasses import fields
from typing import get_args

from builders import NOON
from foundry_rollouts.core.model.sources import CONFIGS, SOURCES, Sources
from foundry_rollouts.policies.source_entries import ENTRIES, SourceName, SourcesEntry
from foundry_rollouts.signals.credentials import Credentials
from foundry_rollouts.signals.registry import REGISTRY, Provisions, every_source
from foundry_rollouts.signals.streams import Streams
from foundry_rollouts.signals.wakeups import no_wake
from unit.signals.session_world import HandMadeSessions


def test_every_source_has_a_configuration_an_entry_and_a_place_in_the_registry() -> None:
    assert get_args(SourceName) == SOURCES
    assert tuple(ENTRIES) == tuple(REGISTRY) == SOURCES
    assert tuple(name.replace("_", "-") for name in SourcesEntry.model_fields) == SOURCES
    assert tuple(field.name.replace("_", "-") for field in fields(Sources)) == SOURCES


async def test_the_sources_that_are_built_bear_the_names_of_their_configurations() -> None:
    given = Provisions(Credentials(), Streams(lambda: NOON))
    sources = every_source(HandMadeSessions(), None, lambda: NOON, no_wake, given)  # type: ignore[arg-type]
    assert [source.name for source in sources] == [config.name for config in CONFIGS]
    for source in sources:
        await source.close()
