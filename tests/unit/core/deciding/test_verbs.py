"""One table says which command makes sense of a rollout, to whoever takes it and to the tick that carries it out."""

import pytest

from builders import a_policy, a_rollout
from foundry_rollouts.core.deciding.verbs import objection_when_asked, objection_when_due
from foundry_rollouts.core.model.approval import ApprovalStep
from foundry_rollouts.core.model.command import Verb
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout

STEPS = (WeightStep(10), ApprovalStep(), WeightStep(100))
STANDING = [
    a_rollout(phase=phase, step=step, policy=a_policy(steps=STEPS))
    for phase, step in (
        (Phase.PENDING, 0),
        (Phase.PAUSED, 0),
        (Phase.PROGRESSING, 1),
        (Phase.PAUSED, 1),
        (Phase.PROGRESSING, 2),
        (Phase.PAUSED, 2),
    )
]


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("rollout", STANDING, ids=lambda rollout: f"{rollout.phase}-{rollout.step}")
def test_what_a_tick_could_do_nothing_about_is_not_taken(rollout: Rollout, verb: Verb) -> None:
    if objection_when_due(rollout, verb):
        assert objection_when_asked(rollout, verb)


@pytest.mark.parametrize("rollout", STANDING, ids=lambda rollout: f"{rollout.phase}-{rollout.step}")
def test_an_abort_is_always_taken_and_always_done(rollout: Rollout) -> None:
    assert objection_when_asked(rollout, Verb.ABORT) is None
    assert objection_when_due(rollout, Verb.ABORT) is None


def test_only_what_has_not_ended_can_be_asked_of() -> None:
    ended = a_rollout(phase=Phase.PROMOTED, step=3, policy=a_policy(steps=STEPS))
    for verb in Verb:
        assert objection_when_asked(ended, verb) == "has ended: it is promoted; start or retry begins a new one"
