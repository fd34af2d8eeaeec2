"""What is gone is no baseline: a version that is deleted during its trial, or the one it is compared with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from foundry_rollouts.core.model.command import Verb
from foundry_rollouts.core.model.measurement import Counts, Measurement, Window
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.core.model.routing import Routing
from small_world import SmallSource, SmallWorld
from unit.controller.asking import ask, kinds, reach

STABLE = Routing.of({"1": 100})


@dataclass
class HonestSource(SmallSource):
    """Calls both versions; whatever is deleted answers every call with 404, and the canary fails as told."""

    canary_failures: int = 0

    async def measure(self, rollout: Rollout, window: Window) -> Sequence[Measurement]:
        return (Measurement(self.name, window, self._counts("1", 0), self._counts("2", self.canary_failures)),)

    def _counts(self, version: str, failures: int) -> Counts:
        failures = self.calls if version == self.cloud.deleted else failures
        return Counts(self.calls, failures, causes=(("HTTP 404", failures),) if failures else ())


@pytest.fixture
async def trial(world: SmallWorld) -> SmallWorld:
    """Return a world whose canary has its first weight."""
    world.source = HonestSource(world.cloud)
    await world.begin()
    await world.run(1)
    return world


@pytest.mark.parametrize("weight", [10, 50, 100])
async def test_a_canary_is_never_promoted_by_comparison_with_a_stable_version_that_is_gone(
    trial: SmallWorld, weight: int
) -> None:
    await reach(trial, weight)
    assert isinstance(trial.source, HonestSource)
    # Before, most of its calls failed and it was promoted all the same: stable's 404s looked even worse.
    trial.cloud.deleted, trial.source.canary_failures = "1", 21
    sent = len(trial.cloud.sent)
    rollout = await trial.run(1)
    assert rollout.because == "the cloud shows version 1 no more; read once more before it is believed"
    rollout = await trial.run(30)
    assert rollout.phase is Phase.PAUSED
    assert rollout.because == (
        "stable version 1 was deleted during the trial: version 2 can be compared with nothing, and there is no version"
        " to go back to. Promote it, or abort, which closes the endpoint"
    )
    assert len(trial.cloud.sent) == sent
    assert (await kinds(trial))[-2:] == ["paused", "waiting"]
    evidence = await trial.open_as("reader").evidence(trial.id)
    assert sum(track.at_step.stable_failures for track in evidence.tracks) == 0


@pytest.mark.parametrize(
    ("verb", "phase", "is_open"), [(Verb.PROMOTE, Phase.PROMOTED, True), (Verb.ABORT, Phase.DISABLED, False)]
)
async def test_a_person_says_what_becomes_of_a_canary_without_a_stable_version(
    trial: SmallWorld, verb: Verb, phase: Phase, is_open: bool
) -> None:
    trial.cloud.deleted = "1"
    await trial.run(3)
    await ask(trial, verb)
    assert (await trial.run(2)).phase is phase
    assert trial.cloud.routing == Routing.of({"2": 100}, is_open=is_open)


@pytest.mark.parametrize("verb", [Verb.RESUME, Verb.APPROVE])
async def test_nothing_goes_on_step_by_step_without_a_stable_version_and_that_is_answered(
    trial: SmallWorld, verb: Verb
) -> None:
    trial.cloud.deleted = "1"
    await trial.run(3)
    await ask(trial, verb)
    assert (await trial.run(2)).phase is Phase.PAUSED
    kind, _, _, because = (await trial.history())[-1]
    assert kind == "rollout.declined"
    assert because.endswith("stable version 1 was deleted, and there is nothing to compare with: promote or abort")


async def test_a_paused_rollout_tells_that_its_stable_version_is_gone(trial: SmallWorld) -> None:
    await ask(trial, Verb.PAUSE)
    await trial.run(1)
    trial.cloud.deleted = "1"
    rollout = await trial.run(3)
    assert "stable version 1 was deleted" in rollout.because
    assert (await kinds(trial))[-1] == "held"


async def test_one_look_that_does_not_find_the_stable_version_ends_nothing(trial: SmallWorld) -> None:
    trial.cloud.deleted = "1"
    await trial.run(1)
    trial.cloud.deleted = None
    assert (await trial.run(20)).phase is Phase.PROMOTED


@pytest.mark.parametrize("weight", [10, 100])
async def test_a_canary_that_is_deleted_ends_its_trial_and_all_go_to_stable(trial: SmallWorld, weight: int) -> None:
    await reach(trial, weight)
    trial.cloud.deleted = "2"
    rollout = await trial.run(3)
    assert (rollout.phase, trial.cloud.routing) == (Phase.FAILED, STABLE)
    assert rollout.because == "version 2 was deleted during its trial; all new sessions go to version 1"
    assert (await kinds(trial))[-1] == "failed"


async def test_an_endpoint_whose_versions_are_both_gone_is_closed(trial: SmallWorld) -> None:
    trial.cloud.deleted = "1"
    await trial.run(3)
    trial.cloud.routing = replace(trial.cloud.routing, weights=(("2", 100),))
    trial.cloud.deleted, trial.cloud.latest = "1", "0"
    rollout = await trial.run(4)
    assert (rollout.phase, trial.cloud.routing.is_open) == (Phase.DISABLED, False)
    assert rollout.because == "version 2 was deleted during its trial, and there is no version to go back to"
