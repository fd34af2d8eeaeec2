"""Roles, and whom the history names."""

from datetime import timedelta

import pytest

from builders import NOON
from foundry_rollouts.core.model.access import ApiToken, Person, Role, Way

CALL, VIEW, RUN, RULE = Role


ENOUGH_FOR = {CALL: {CALL}, VIEW: {VIEW}, RUN: {CALL, VIEW, RUN}, RULE: {CALL, VIEW, RUN, RULE}}


@pytest.mark.parametrize("role", Role)
def test_each_role_is_enough_for(role: Role) -> None:
    assert {needed for needed in Role if role.may(needed)} == ENOUGH_FOR[role]


@pytest.mark.parametrize("way", [Way.TOKEN, Way.ENTRA, Way.SESSION])
@pytest.mark.parametrize(("said", "author"), [(None, "ci"), ("ci", "ci"), ("ann", "ann via ci")])
def test_nobody_names_another_without_being_named(way: Way, said: str | None, author: str) -> None:
    assert Person("ci", RUN, way).author(said) == author


def test_whoever_is_on_the_machine_names_themselves() -> None:
    assert Person("api", RULE, Way.LOOPBACK).author("ann") == "ann"


@pytest.mark.parametrize(
    ("but", "refusal"),
    [
        ({}, None),
        ({"expires_at": NOON + timedelta(seconds=1)}, None),
        ({"expires_at": NOON}, "the token t-1 of ann has expired"),
        ({"revoked_at": NOON - timedelta(days=1)}, "the token t-1 of ann was revoked"),
    ],
)
def test_a_token_opens_something_until_it_expires_or_is_revoked(but: dict[str, object], refusal: str | None) -> None:
    token = ApiToken("t-1", "ann", RULE, NOON - timedelta(days=2), **but)  # type: ignore[arg-type]
    assert token.refusal(NOON) == refusal
