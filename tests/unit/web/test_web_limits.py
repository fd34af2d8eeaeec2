"""How much may be asked in a while."""

from dataclasses import replace
from datetime import timedelta

from foundry_rollouts.addresses import network_of
from foundry_rollouts.core.model.access import Role
from foundry_rollouts.web.limits import MOST_BUCKETS, Buckets
from foundry_rollouts.web.services import Services
from unit.web.admitted import admitted


def test_a_bucket_holds_ten_seconds_worth_and_fills_up_again() -> None:
    buckets = Buckets(2)
    assert [buckets.take("a", 0.0) for _ in range(20)] == [None] * 20
    assert buckets.take("a", 0.0) == timedelta(seconds=0.5)
    assert buckets.take("b", 0.0) is None
    assert buckets.take("a", 0.5) is None
    assert buckets.take("a", 0.5) == timedelta(seconds=0.5)


def test_who_waits_does_not_wait_longer_for_having_asked_again() -> None:
    buckets = Buckets(1)
    for _ in range(100):
        buckets.take("a", 0.0)
    assert buckets.take("a", 1.0) is None


def test_a_bucket_never_holds_more_than_when_it_was_full() -> None:
    buckets = Buckets(1)
    buckets.take("a", 0.0)
    assert [buckets.take("a", 1_000_000.0) is None for _ in range(11)] == [True] * 10 + [False]


def test_so_many_names_are_remembered_and_no_more() -> None:
    buckets = Buckets(0.1)
    for number in range(MOST_BUCKETS + 1):
        buckets.take(str(number), 0.0)
    assert buckets.take("1", 0.0) is not None
    assert buckets.take("0", 0.0) is None


def test_a_client_of_the_sixth_version_is_its_network() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("10.0.0.1") != network_of("10.0.0.2")
    assert network_of("no address") == "no address"


async def test_a_token_that_asks_too_often_is_told_when_to_come_back_and_others_are_not_held_up(
    services: Services,
) -> None:
    people = await admitted(replace(services, buckets=Buckets(0.2)))
    async with people.as_role(Role.VIEWER) as viewer, people.as_role(Role.OPERATOR) as operator:
        statuses = [(await viewer.get("/api/v1/rollouts")).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        refused = await viewer.get("/api/v1/rollouts")
        assert refused.headers["content-type"] == "application/problem+json"
        assert 1 <= int(refused.headers["retry-after"]) <= 5
        assert (await operator.get("/api/v1/rollouts")).status_code == 200


async def test_a_flood_of_wrong_tokens_locks_nobody_out_who_has_a_right_one(services: Services) -> None:
    people = await admitted(replace(services, buckets=Buckets(0.2)))
    async with people.client("frt_" + "A" * 43) as wrong, people.as_role(Role.VIEWER) as viewer:
        assert [(await wrong.get("/api/v1/rollouts")).status_code for _ in range(3)] == [401, 401, 429]
        assert (await viewer.get("/api/v1/rollouts")).status_code == 200


async def test_who_shows_nothing_on_the_machine_is_not_counted(services: Services) -> None:
    people = await admitted(replace(services, buckets=Buckets(0.2)))
    async with replace(people, services=replace(people.services, is_open=True)).client() as anybody:
        assert {(await anybody.get("/api/v1/rollouts")).status_code for _ in range(5)} == {200}


async def test_a_command_that_comes_too_soon_is_in_the_audit_log_under_who_gave_it(services: Services) -> None:
    people = await admitted(replace(services, buckets=Buckets(0.1)))
    async with people.as_role(Role.OPERATOR) as operator, people.as_role(Role.ADMIN) as admin:
        given = [await operator.post("/api/v1/rollouts/r-1:abort", json={"generation": 1}) for _ in range(2)]
        assert [each.status_code for each in given] == [404, 429]
        refused, _ = (await admin.get("/api/v1/audit")).json()["items"]
    assert (refused["author"], refused["outcome"], refused["because"][:4]) == ("the operator", "refused", "429:")
