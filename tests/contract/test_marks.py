"""Marks over loopback HTTP: each request has the shape that its service documents, and a repeat makes nothing twice."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from answering import a_server, say
from builders import NOON, a_rollout, an_event
from foundry_rollouts.core.model.notice import Severity
from foundry_rollouts.errors import UsageError
from foundry_rollouts.notify.dispatcher import UndeliveredError
from foundry_rollouts.notify.marks import ApplicationInsights, GitHub, Grafana
from foundry_rollouts.notify.targets import Target, read_targets
from foundry_rollouts.notify.wording import Words, words_of
from foundry_rollouts.ports import News, Notice
from patience import PATIENCE

LIMIT = timedelta(seconds=PATIENCE)
RESOURCE = "/subscriptions/s/resourceGroups/g/providers/microsoft.insights/components/c"
TEST = Words("foundry-rollouts: test", "a test", Severity.INFO)


def moved(kind: str) -> Notice:
    event = an_event(kind=f"rollout.{kind}", because="canary 0 of 44 failed", step=1, canary="2")
    return Notice(1, f"ntc_{kind}", "t/0", "t", event, a_rollout(), 1, NOON, 0, is_reminder=False)


@dataclass
class Service:
    """A service that keeps what it is asked; GitHub's deployments are found again."""

    status: str = "200 OK"
    asked: list[tuple[str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    deployments: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *lines = head.strip().split("\r\n")
        fields = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
        body = await reader.readexactly(int(fields.get("content-length", "0")))
        what = line.removesuffix(" HTTP/1.1")
        self.asked.append((what, json.loads(body) if body else None))
        self.tokens.add(fields["authorization"])
        answer: Any = {}
        if what.startswith("GET /repos"):
            answer = self.deployments
        elif what.endswith("/deployments"):
            self.deployments.append({"id": 7})
            answer = {"id": 7}
        say(writer, json.dumps(answer).encode(), self.status)


async def test_grafana_gets_an_annotation_with_its_time_and_tags() -> None:
    service = Service()
    async with a_server(service.answer) as address:
        grafana = Grafana(address, "s3cret", LIMIT)
        await grafana.say(words_of(moved("started")), "k")
        await grafana.aclose()
    ((what, body),) = service.asked
    assert (what, service.tokens) == ("POST /api/annotations", {"Bearer s3cret"})
    assert body["time"] == int(NOON.timestamp() * 1000)
    assert body["tags"] == ["foundry-rollouts", "agent:support-agent", "started"]
    assert body["text"].startswith("[info] support-agent version 2: started\ncanary 0 of 44 failed\n")


async def test_application_insights_gets_one_release_annotation_however_often_it_is_sent() -> None:
    service = Service()
    async with a_server(service.answer) as address:
        insights = ApplicationInsights(address, "s3cret", LIMIT, RESOURCE)
        for key in ("a", "a", "b"):
            await insights.say(words_of(moved("promoted")), key)
        await insights.aclose()
    (first, body), (_, again), (_, other) = service.asked
    assert first == f"PUT {RESOURCE}/Annotations?api-version=2015-05-01"
    assert body.keys() == {"Id", "AnnotationName", "EventTime", "Category", "Properties"}
    assert (body["EventTime"], body["Category"]) == ("2026-03-02T12:00:00", "Deployment")
    assert json.loads(body["Properties"])["Agent"] == "support-agent"
    assert body["Id"] == again["Id"] != other["Id"]


async def test_github_gets_one_deployment_for_a_rollout_and_a_status_for_each_move() -> None:
    service = Service()
    async with a_server(service.answer) as address:
        github = GitHub(address, "s3cret", LIMIT, "acme/agent", "main")
        for kind in ("started", "advanced", "rolled_back"):
            await github.say(words_of(moved(kind)), kind)
        await github.aclose()
    posts = [(what, body) for what, body in service.asked if what.startswith("POST")]
    (made, deployment), *statuses = posts
    assert made == "POST /repos/acme/agent/deployments"
    assert deployment["ref"] == "main"
    assert (deployment["task"], deployment["environment"]) == ("foundry-rollouts:r-1", "support-agent")
    assert (deployment["auto_merge"], deployment["required_contexts"]) == (False, [])
    assert {what for what, _ in statuses} == {"POST /repos/acme/agent/deployments/7/statuses"}
    assert [body["state"] for _, body in statuses] == ["in_progress", "in_progress", "failure"]
    assert statuses[0][1]["description"] == "canary 0 of 44 failed"
    assert service.asked[0][0] == (
        "GET /repos/acme/agent/deployments?task=foundry-rollouts%3Ar-1&environment=support-agent"
    )


async def test_a_test_checks_the_way_in_and_leaves_nothing_and_a_refusal_gives_nothing_away() -> None:
    service = Service()
    async with a_server(service.answer) as address:
        voices = Grafana(address, "s3cret", LIMIT), GitHub(address, "s3cret", LIMIT, "acme/agent")
        for voice in voices:
            await voice.say(TEST, "k")
        assert [what.split()[0] for what, _ in service.asked] == ["GET", "GET"]
        service.status = "403 Forbidden"
        for voice in voices:
            with pytest.raises(UndeliveredError, match="it answers HTTP 403"):
                await voice.say(words_of(moved("started")), "k")
            assert "s3cret" not in repr(voice)
            await voice.aclose()


def test_marks_are_read_from_the_file_of_targets_and_hear_of_moves_alone(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    file = tmp_path / "targets.toml"
    file.write_text(
        '[g]\nmark = "grafana"\nurl = "https://g.example"\ntoken-file = "token"\n'
        '[h]\nmark = "github"\nurl = "https://api.github.com"\nrepository = "acme/agent"\ntoken-file = "token"\n'
    )
    grafana, github = read_targets(file)
    assert (grafana.kind, grafana.token, github.path) == ("grafana", "s3cret", "acme/agent")
    assert grafana.hears(News(1, moved("started").event, a_rollout(), "support"))
    assert not grafana.hears(News(1, an_event(kind="rollout.held"), a_rollout(), "support"))
    assert "s3cret" not in repr(grafana)
    assert Target("t", "slack://x").mark is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('mark = "grafana"\nurl = "https://g.example"', "needs token-file"),
        ('mark = "github"\nurl = "https://g.example"\ntoken-file = "token"', "needs repository"),
        ('mark = "application-insights"\nurl = "https://g.example"', "needs resource"),
        ('mark = "grafana"\nurl = "slack://x"\ntoken-file = "token"', "needs an address"),
        ('mark = "grafana"\nurl = "http://g.example"\ntoken-file = "token"', "in the clear"),
    ],
)
def test_a_mark_that_cannot_be_left_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "token").write_text("s3cret")
    file = tmp_path / "targets.toml"
    file.write_text(f"[x]\n{text}\n")
    with pytest.raises(UsageError, match=says):
        read_targets(file)
