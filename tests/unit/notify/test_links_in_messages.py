"""Where messages lead, and which link asks for an approval."""

from dataclasses import replace
from datetime import timedelta

import pytest

from builders import NOON, a_policy, a_rollout, an_event
from foundry_rollouts.core.model.approval import ApprovalStep, OnTimeout
from foundry_rollouts.core.model.policy import WeightStep
from foundry_rollouts.core.model.rollout import Phase, Rollout
from foundry_rollouts.errors import NotFoundError
from foundry_rollouts.links import LONGEST, ApprovalLink, Links
from foundry_rollouts.notify.leading import LASTS, link_of
from foundry_rollouts.notify.wording import words_of
from foundry_rollouts.ports import Notice

LINKS = Links("https://rollouts.example.com/base", b"0123456789abcdef0123456789abcdef")
ABOUT = "0123456789abcdef"


def waiting(step: ApprovalStep | None = None) -> Rollout:
    steps = (WeightStep(10), step or ApprovalStep(), WeightStep(100))
    return a_rollout(
        id="01abcdef012345678", policy=a_policy(steps=steps), phase=Phase.PROGRESSING, step=2, started_at=NOON,
        step_started_at=NOON, asked_about=ABOUT,
    )  # fmt: skip


def notice(rollout: Rollout | None, kind: str = "rollout.waiting") -> Notice:
    event = an_event(kind=kind, rollout=rollout.id if rollout else None)
    return Notice(1, "k", "t", "team", event, rollout, 1, NOON, 0, is_reminder=False)


def asked(rollout: Rollout) -> ApprovalLink:
    link = link_of(LINKS, notice(rollout), NOON)
    assert link is not None
    head, _, text = link.rpartition("/")
    assert head == "https://rollouts.example.com/base/approvals"
    return LINKS.read(text)


def test_what_asks_for_an_approval_leads_to_that_question() -> None:
    assert asked(waiting()) == ApprovalLink("01abcdef012345678", 2, ABOUT, NOON + LASTS)
    hurried = waiting(ApprovalStep(timeout=timedelta(hours=4), then=OnTimeout.ROLLBACK))
    assert asked(hurried).until == NOON + timedelta(hours=4)
    late = replace(waiting(ApprovalStep(timeout=timedelta(hours=4))), step_started_at=NOON - timedelta(hours=9))
    assert asked(late).until == NOON + LASTS


@pytest.mark.parametrize(
    "rollout",
    [
        replace(waiting(), phase=Phase.PAUSED, paused_at=NOON),
        replace(waiting(), step=3),
        replace(waiting(), asked_about=None),
        replace(waiting(), phase=Phase.ROLLED_BACK),
    ],
)
def test_what_asks_for_none_leads_to_its_rollout(rollout: Rollout) -> None:
    expected = "https://rollouts.example.com/base/rollouts/01abcdef012345678"
    assert link_of(LINKS, notice(rollout), NOON) == expected
    assert link_of(replace(LINKS, key=None), notice(waiting()), NOON) == expected


def test_what_is_about_an_agent_leads_there_and_nothing_where_nobody_said_how() -> None:
    about = replace(notice(None, "agent.unreadable"), event=an_event(agent="eu/a&b", rollout=None))
    assert link_of(LINKS, about, NOON) == "https://rollouts.example.com/base/?q=eu%2Fa%26b"
    assert link_of(None, about, NOON) is None


def test_a_link_is_the_last_line_fits_the_sign_in_and_hides_its_key() -> None:
    link = link_of(LINKS, notice(waiting()), NOON)
    assert words_of(notice(waiting()), link).text.splitlines()[-1] == link
    assert link is not None
    assert len(link.rpartition("/")[2]) < LONGEST
    assert "0123456789abcdef0123" not in repr(LINKS)
    with pytest.raises(NotFoundError, match="none of ours"):
        replace(LINKS, key=None).read(link.rpartition("/")[2])
