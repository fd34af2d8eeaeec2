"""Logging in at servers that want it: a real Prometheus over TLS with a password, and a server that wants a token."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from answering import a_server, say
from builders import NOON
from foundry_rollouts import clock
from foundry_rollouts.core.model.measurement import Window
from foundry_rollouts.core.model.sources import HttpConfig, PrometheusConfig
from foundry_rollouts.signals.credentials import Credentials
from foundry_rollouts.signals.fetching import Fetcher
from foundry_rollouts.signals.json_endpoint import HttpCounter
from foundry_rollouts.signals.limits import RateLimiter
from foundry_rollouts.signals.polling import CountQuery
from foundry_rollouts.signals.prometheus import PrometheusCounter
from foundry_rollouts.signals.reported import ReportedCounts, SourceError
from patience import PATIENCE
from tools.system_packages import found

PROMETHEUS = found("prometheus")
WORD = "s3cret-word"
#: WORD, as Prometheus keeps passwords.
HASHED = "$2b$10$abcdefghijklmnopqrstuupyUudeuyhyGFqx2O9djRj2Z20wTch9W"
WEB = f"""
basic_auth_users: {{rollouts: "{HASHED}"}}
tls_server_config: {{cert_file: server.pem, key_file: server.key}}
"""
ASKED = CountQuery("support-agent", "2", Window(NOON, NOON + timedelta(seconds=30)))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def fetcher(folder: Path, text: str) -> Fetcher:
    (folder / "logins.toml").write_text(text)
    return Fetcher(RateLimiter(clock.now), timedelta(seconds=5), Credentials(folder / "logins.toml"))


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Iterator[tuple[str, Path]]:
    """Run a Prometheus that lets nobody in without a password; yield its address and a folder with its CA."""
    if PROMETHEUS is None:
        pytest.skip("prometheus is missing (Debian: apt-get install prometheus)")
    folder = tmp_path_factory.mktemp("prometheus")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(folder / "server.key")
    certificate.cert_chain_pems[0].write_to_path(folder / "server.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    (folder / "web.yml").write_text(WEB)
    (folder / "prometheus.yml").write_text("global: {}\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    options = ("config.file=prometheus.yml", "web.config.file=web.yml", "storage.tsdb.path=data")
    command = [PROMETHEUS, *(f"--{option}" for option in options), f"--web.listen-address=127.0.0.1:{port}"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"https://127.0.0.1:{port}", folder
        finally:
            process.terminate()


async def counted(url: str, fetching: Fetcher, credentials: str | None = "metrics") -> ReportedCounts:
    """Count by two queries, as soon as the server is up."""
    plan = PrometheusConfig(url, "scalar(vector(12))", "scalar(vector(3))", credentials=credentials)
    counter = PrometheusCounter(fetching)
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await counter.count(plan, ASKED)
                except SourceError as error:
                    if "ConnectError" not in str(error) or credentials is None:
                        raise
                    await asyncio.sleep(0.1)
    finally:
        await counter.aclose()


async def test_a_prometheus_with_a_password_and_its_own_certificate_is_asked(prometheus: tuple[str, Path]) -> None:
    url, folder = prometheus
    (folder / "word").write_text(f"{WORD}\n")
    section = f'[metrics]\nurl = "{url}"\nusername = "rollouts"\npassword-file = "word"\nca-file = "ca.pem"\n'
    told = await counted(url, fetcher(folder, section))
    assert (told.calls, told.failures) == (12, 3)


async def test_a_wrong_password_is_told_without_the_password(prometheus: tuple[str, Path]) -> None:
    url, folder = prometheus
    section = f'[metrics]\nurl = "{url}"\nusername = "rollouts"\npassword = "wr0ng"\nca-file = "ca.pem"\n'
    with pytest.raises(SourceError, match=r"^HTTP 401$"):
        await counted(url, fetcher(folder, section))


async def test_a_server_that_our_own_authority_did_not_sign_is_not_told_the_password(
    prometheus: tuple[str, Path], tmp_path: Path
) -> None:
    url, _ = prometheus
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    section = f'[metrics]\nurl = "{url}"\nusername = "rollouts"\npassword = "{WORD}"\nca-file = "ca.pem"\n'
    plan = PrometheusConfig(url, "vector(1)", "vector(0)", credentials="metrics")
    counter = PrometheusCounter(fetcher(tmp_path, section))
    with pytest.raises(SourceError, match="cannot be reached"):
        await counter.count(plan, ASKED)


@dataclass
class Server:
    """Answers whoever brings the token, and repeats to others what they brought."""

    token: str = "t0ken"
    url: str = ""
    brought: list[str] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = [line for line in head.splitlines() if line.lower().startswith("authorization:")]
        brought = lines[0].partition(": ")[2] if lines else ""
        self.brought.append(brought)
        if brought == f"Bearer {self.token}":
            say(writer, b'{"calls": 10, "failed": 4}')
        else:
            say(writer, f'{{"error": "no entry with {brought}"}}'.encode(), "401 Unauthorized")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    async with a_server(server.answer) as server.url:
        yield server


def plan_of(server: Server, credentials: str | None = "counts") -> HttpConfig:
    return HttpConfig(server.url + "/{version}", "/calls", "/failed", credentials=credentials)


async def test_a_token_may_change_at_any_time(server: Server, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    counter = HttpCounter(fetcher(tmp_path, f'[counts]\nurl = "{server.url}"\ntoken-file = "token"\n'))
    assert (await counter.count(plan_of(server), ASKED)).calls == 10
    server.token = "an0ther"
    (tmp_path / "token").write_text("an0ther\n")
    assert (await counter.count(plan_of(server), ASKED)).calls == 10
    await counter.aclose()


async def test_a_refused_token_is_told_without_the_token(server: Server, tmp_path: Path) -> None:
    counter = HttpCounter(fetcher(tmp_path, f'[counts]\nurl = "{server.url}"\ntoken = "0ld"\n'))
    with pytest.raises(SourceError) as refused:
        await counter.count(plan_of(server), ASKED)
    assert str(refused.value) == "HTTP 401: no entry with Bearer ***"
    await counter.aclose()


async def test_who_names_no_credentials_brings_none_and_is_told_what_to_do(server: Server, tmp_path: Path) -> None:
    counter = HttpCounter(fetcher(tmp_path, f'[counts]\nurl = "{server.url}"\ntoken = "t0ken"\n'))
    with pytest.raises(SourceError, match="it asks for a login: name its credentials in the policy"):
        await counter.count(plan_of(server, credentials=None), ASKED)
    assert server.brought == [""]
    await counter.aclose()


async def test_a_token_is_sent_to_its_own_address_only(server: Server, tmp_path: Path) -> None:
    counter = HttpCounter(fetcher(tmp_path, '[counts]\nurl = "https://elsewhere.example"\ntoken = "t0ken"\n'))
    with pytest.raises(SourceError, match=r"are for https://elsewhere\.example: this is another address"):
        await counter.count(plan_of(server), ASKED)
    assert server.brought == []
    plan = replace(plan_of(server), url=server.url.replace("127.0.0.1", "localhost") + "/{version}")
    with pytest.raises(SourceError, match="are for"):
        await counter.count(plan, ASKED)


async def test_a_redirect_takes_no_token_along(server: Server, tmp_path: Path) -> None:
    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        say(writer, b"", "302 Found", Location=server.url)

    async with a_server(elsewhere) as url:
        counter = HttpCounter(fetcher(tmp_path, f'[counts]\nurl = "{url}"\ntoken = "t0ken"\n'))
        with pytest.raises(SourceError, match="HTTP 302"):
            await counter.count(replace(plan_of(server), url=url + "/{version}"), ASKED)
        await counter.aclose()
    assert server.brought == []
