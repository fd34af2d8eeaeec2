"""Errors are one line on stderr and a code that scripts can tell apart."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import Outcome, run
from component.cli.conftest import Inside
from foundry_rollouts.cli.errors import report
from foundry_rollouts.errors import ConflictError, NotFoundError, PolicyError, StoreError, UsageError

LOCAL = "http://127.0.0.1:9/api/projects/local"
POLICY = 'name: a\nagents: ["*"]\nsteps: [{weight: 100}]\n'


@pytest.mark.parametrize(
    ("args", "code", "line"),
    [
        (["rolout"], 2, "error: no such command 'rolout'. Did you mean 'rollout'?; see foundry-rollouts --help"),
        (["rollout"], 2, "error: missing command; see foundry-rollouts rollout --help"),
        (["rollout", "list", "--agnt", "x"], 2,
         "error: no such option: --agnt (Possible options: --agent); see foundry-rollouts rollout list --help"),
        (["rollout", "start", "--agent", "a"], 2,
         "error: missing option '--version'; see foundry-rollouts rollout start --help"),
        (["rollout", "start", "--agent", "a", "--version", "1", "--timeout", "1m"], 2,
         "error: --timeout says how long to wait: add --wait"),
        (["rollout", "watch", "--agent", "a", "--timeout", "5"], 2,
         "error: invalid value for '--timeout': '5' is not a duration: write for example 30s, 10m or 1h30m; "
         "see foundry-rollouts rollout watch --help"),
        (["rollout", "show"], 2,
         "error: name one rollout: give its id, or --agent NAME for the current one of an agent"),
        (["rollout", "show", "r", "--agent", "a"], 2,
         "error: name one rollout: give its id, or --agent NAME for the current one of an agent"),
        (["rollout", "list", "--server", "nowhere"], 2,
         "error: --server 'nowhere' is not an address: write http://HOST:PORT"),
        (["rollout", "list", "--server", "http://127.0.0.1:9"], 1,
         "error: http://127.0.0.1:9 does not answer (All connection attempts failed): "
         "start it with 'foundry-rollouts serve', or name another with --server"),
        (["serve"], 2, "error: FOUNDRY_ROLLOUTS_PROJECT_ENDPOINT: is not set: "
                       "write https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT"),
        (["emulator", "--listen", "0.0.0.0:80"], 2,
         "error: '0.0.0.0:80' can be reached from other machines and the emulator takes any token and runs what it "
         "is sent: write 127.0.0.1:80"),
        (["db", "current", "--database-url", "mysql://h/d"], 2,
         "error: FOUNDRY_ROLLOUTS_DATABASE_URL: is not a database for the history: "
         "write sqlite:///FILE or postgresql://HOST/NAME"),
        (["policy", "show", "--policies", "p.yaml", "other"], 1,
         "error: there is no policy named other: known are a"),
    ],
)  # fmt: skip
def test_an_error_is_one_line_and_a_code(tmp_path: Path, inside: Inside, args: list[str], code: int, line: str) -> None:
    (tmp_path / "p.yaml").write_text(POLICY)
    done = inside(*args)
    assert (done.code, done.errors, done.out) == (code, [line], "")


async def test_a_process_says_the_same_and_exits_with_the_code(tmp_path: Path) -> None:
    done = await run("rollout", "list", "--server", "http://127.0.0.1:9", folder=tmp_path)
    assert (done.code, done.out, len(done.errors)) == (1, "", 1)
    assert done.err.startswith("error: http://127.0.0.1:9 does not answer")


def test_serve_tells_every_problem_of_the_policies_and_starts_nothing(
    tmp_path: Path, serve: Callable[..., Outcome]
) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies/p.yaml").write_text("name: a\nagents: [a]\nsteps: [{weight: 50}]\ndrift: x\n")
    done = serve("--credential", "emulator")
    assert (done.code, done.out) == (2, "")
    assert done.errors == [
        "policies/p.yaml:4:1: drift: unknown key: did you mean on-drift?",
        "error: the policies are not in order, 1 problem: fix what is listed above",
    ]
    assert not (tmp_path / "foundry-rollouts.db").exists()


def test_serve_tells_what_is_wrong_with_its_credentials_and_not_the_secret(
    tmp_path: Path, serve: Callable[..., Outcome]
) -> None:
    (tmp_path / "p.yaml").write_text(POLICY)
    (tmp_path / "logins.toml").write_text('[metrics]\nurl = "http://p.example"\ntoken = "s3cret"\n')
    (tmp_path / "foundry-rollouts.toml").write_text('source_credentials = "logins.toml"\n')
    done = serve("--policies", "p.yaml")
    assert (done.code, done.out) == (2, "")
    assert done.errors == [
        "error: credentials metrics would go anywhere, or in the clear: write url with an https address"
    ]
    assert not (tmp_path / "foundry-rollouts.db").exists()


def test_serve_tells_that_its_port_is_taken(tmp_path: Path, serve: Callable[..., Outcome]) -> None:
    (tmp_path / "p.yaml").write_text(POLICY)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        done = serve("--policies", "p.yaml", "--listen", listen)
    assert done.code == 1
    assert done.errors == [f"error: cannot listen on {listen}: Address already in use; choose another address"]


def test_an_address_that_others_reach_is_served_once_a_token_says_who_comes_in(
    tmp_path: Path, serve: Callable[..., Outcome], inside: Inside
) -> None:
    (tmp_path / "p.yaml").write_text(POLICY)
    elsewhere = ("--policies", "p.yaml", "--listen", "192.0.2.1:80")  # an address that no machine has
    refused = (
        "error: FOUNDRY_ROLLOUTS_LISTEN: '192.0.2.1:80' can be reached from other machines, and nothing says who may "
        "come in: make a token (foundry-rollouts token create --owner NAME --role admin), set "
        "FOUNDRY_ROLLOUTS_ENTRA__TENANT and FOUNDRY_ROLLOUTS_ENTRA__CLIENT_ID, or set FOUNDRY_ROLLOUTS_ACCESS=required"
    )
    done = serve(*elsewhere)
    assert (done.code, done.errors, done.out) == (2, [refused], "")
    made = inside("token", "create", "--owner", "ann", "--role", "admin")
    assert made.code == 0, made.err
    done = serve(*elsewhere)
    assert (done.code, len(done.errors)) == (1, 1), done.err
    assert done.err.startswith("error: cannot listen on 192.0.2.1:80: Cannot assign requested address")
    assert inside("token", "revoke", made.err.split()[1]).code == 0
    assert serve(*elsewhere).errors == [refused]


def test_access_that_is_required_is_asked_of_everybody_wherever_they_are(
    tmp_path: Path, serve: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.yaml").write_text(POLICY)
    monkeypatch.setenv("FOUNDRY_ROLLOUTS_ACCESS", "required")
    done = serve("--policies", "p.yaml", "--listen", "192.0.2.1:80")
    assert done.err.startswith("error: cannot listen on 192.0.2.1:80: Cannot assign requested address")


def test_serve_tells_that_its_database_cannot_be_written(tmp_path: Path, serve: Callable[..., Outcome]) -> None:
    (tmp_path / "p.yaml").write_text(POLICY)
    done = serve("--policies", "p.yaml", "--listen", "127.0.0.1:0", "--database-url", "sqlite:///gone/h.db")
    assert (done.code, len(done.errors)) == (1, 1), done.err
    assert done.err.startswith("error: database gone/h.db: unable to open database file")


def test_verbose_adds_the_trace_wherever_it_stands(inside: Inside) -> None:
    for done in (inside("--verbose", "rollout", "show"), inside("rollout", "show", "--verbose")):
        assert done.code == 2
        assert "Traceback" in done.err
        assert done.errors[-1].startswith("error: name one rollout")


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (UsageError("a\nb"), 2, ["error: a", "error: b"]),
        (PolicyError(("p.yaml:1:1: x", "p.yaml:2:1: y")), 2,
         ["p.yaml:1:1: x", "p.yaml:2:1: y",
          "error: the policies are not in order, 2 problems: fix what is listed above"]),
        (NotFoundError("no such rollout"), 1, ["error: no such rollout"]),
        (ConflictError("look again"), 1, ["error: look again"]),
        (StoreError("away"), 1, ["error: away"]),
        (ExceptionGroup("tasks", [ExceptionGroup("more", [UsageError("deep")])]), 2, ["error: deep"]),
        (PermissionError(13, "Permission denied", "x.db"), 1, ["error: Permission denied: x.db"]),
        (KeyError("canary"), 1, ["error: unexpected KeyError: 'canary': this is a fault of foundry-rollouts; "
                                 "--verbose shows where"]),
    ],
)  # fmt: skip
def test_each_kind_of_error_has_its_code(
    error: Exception, code: int, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(error, is_verbose=False) == code
    assert capsys.readouterr().err.splitlines() == lines
