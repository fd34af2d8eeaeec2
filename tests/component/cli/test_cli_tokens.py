"""Tokens on the command line: straight on the database, and through a service that asks for one."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from command_line import Outcome
from component.cli.conftest import Inside, Service
from foundry_rollouts.clock import now
from foundry_rollouts.core.model.access import Way
from foundry_rollouts.core.model.audit import AuditFilter
from foundry_rollouts.web.services import Services
from unit.web.admitted import a_secret
from unit.web.served import serving

SECRET = re.compile(r"frt_[\w-]{43}")


@pytest.fixture
async def locked(services: Services, tmp_path: Path, inside: Inside) -> AsyncIterator[Service]:
    """Serve the ops API under access control."""
    async with serving(replace(services, is_open=False, now=now)) as (url, _):
        yield Service(services.store, url, tmp_path, inside)  # type: ignore[arg-type]


def tokens_of(done: Outcome) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(done.out)
    return listed


async def test_the_first_token_needs_no_service_and_opens_it(
    locked: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'history.db'}"
    made = await asyncio.to_thread(
        locked.inside, "token", "create", "--owner", "ann", "--role", "admin", "--database-url", url
    )
    assert SECRET.fullmatch(made.out.strip())
    assert made.errors[0].endswith("it is shown this once")
    monkeypatch.setenv("FOUNDRY_ROLLOUTS_TOKEN", made.out.strip())
    assert (await locked.run("list", "-o", "json")).code == 0
    (entry,) = await locked.store.audit(AuditFilter())
    assert (entry.action, entry.way, entry.reason) == ("token.create", Way.DATABASE, "admin for ann")


def test_a_fresh_install_gets_its_database_with_its_first_token(inside: Inside) -> None:
    made = inside("token", "create", "--owner", "ann", "--role", "admin")
    assert made.code == 0
    (listed,) = tokens_of(inside("token", "list", "-o", "json"))
    assert (listed["owner"], listed["role"], listed["state"], listed["last_used_at"]) == ("ann", "admin", "valid", None)
    assert made.out.strip() not in str(listed)


def test_a_revoked_token_is_listed_as_such(inside: Inside) -> None:
    inside("token", "create", "--owner", "ann", "--role", "viewer", "--forever")
    (made,) = tokens_of(inside("token", "list", "-o", "json"))
    assert made["expires_at"] is None
    assert inside("token", "revoke", made["id"]).out == f"token {made['id']} of ann is revoked\n"
    assert [each["state"] for each in tokens_of(inside("token", "list", "-o", "json"))] == ["revoked"]


@pytest.mark.parametrize("owner", ["", "two\nlines", "\x1b[2J", "x" * 129])
def test_an_owner_is_a_name(inside: Inside, owner: str) -> None:
    refused = inside("token", "create", "--owner", owner, "--role", "viewer")
    assert (refused.code, refused.errors) == (2, ["error: an owner is a name of one line, of 128 characters at most"])


def test_a_token_that_nobody_knows_cannot_be_revoked(inside: Inside) -> None:
    refused = inside("token", "revoke", "nothing")
    assert (refused.code, refused.errors) == (
        1, ["error: there is no token nothing: list them with foundry-rollouts token list"],
    )  # fmt: skip


async def test_an_admin_makes_lists_and_revokes_tokens_through_the_service(
    locked: Service, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(await a_secret(services, expires_at=None) + "\n")
    monkeypatch.setenv("FOUNDRY_ROLLOUTS_TOKEN_FILE", str(file))
    monkeypatch.setenv("FOUNDRY_ROLLOUTS_SERVER", locked.server)

    made = await asyncio.to_thread(locked.inside, "token", "create", "--owner", "ci", "--role", "operator")
    assert SECRET.fullmatch(made.out.strip())
    listed = tokens_of(await asyncio.to_thread(locked.inside, "token", "list", "-o", "json"))
    assert [each["owner"] for each in listed] == ["ci", "ann"]
    revoked = await asyncio.to_thread(locked.inside, "token", "revoke", listed[0]["id"])
    assert revoked.out == f"token {listed[0]['id']} of ci is revoked\n"
    monkeypatch.setenv("FOUNDRY_ROLLOUTS_TOKEN", made.out.strip())
    assert "was revoked" in (await locked.run("list")).errors[0]


async def test_a_service_that_knows_nobody_is_told_in_one_line(locked: Service) -> None:
    refused = await locked.run("list")
    assert refused.code == 1
    (line,) = refused.errors
    assert "the service wants a token: set FOUNDRY_ROLLOUTS_TOKEN" in line
    assert "FOUNDRY_ROLLOUTS_TOKEN" in line


@pytest.mark.parametrize(
    ("server", "secret", "because"),
    [
        ("http://rollouts.example", "frt_x", "http://rollouts.example would get the token of FOUNDRY_ROLLOUTS_TOKEN in "
                                             "the clear: write https://"),
        ("http://127.0.0.1:9", "frt_x y", "FOUNDRY_ROLLOUTS_TOKEN holds no token: write the one line that "
                                          "'foundry-rollouts token create' printed"),
        ("http://127.0.0.1:9", "frt_\u200b", "FOUNDRY_ROLLOUTS_TOKEN holds no token: write the one line that "
                                             "'foundry-rollouts token create' printed"),
    ],
)  # fmt: skip
def test_a_token_goes_nowhere_in_the_clear(
    inside: Inside, monkeypatch: pytest.MonkeyPatch, server: str, secret: str, because: str
) -> None:
    monkeypatch.setenv("FOUNDRY_ROLLOUTS_TOKEN", secret)
    refused = inside("rollout", "list", "--server", server)
    assert (refused.code, refused.errors) == (2, [f"error: {because}"])
    assert secret not in refused.errors[0]


def test_a_file_that_is_not_there_is_named(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUNDRY_ROLLOUTS_TOKEN_FILE", "/nowhere/token")
    refused = inside("rollout", "list", "--server", "http://127.0.0.1:9")
    assert refused.errors == [
        "error: FOUNDRY_ROLLOUTS_TOKEN_FILE: /nowhere/token cannot be read, No such file or directory: "
        "fix it, or unset it"
    ]


def test_no_command_takes_a_token_as_an_argument() -> None:
    from component.cli.test_cli_shape import COMMANDS

    options = {name for each in COMMANDS.values() for given in each.params for name in given.opts if name[0] == "-"}
    assert not {option for option in options if "token" in option or "secret" in option or "password" in option}
