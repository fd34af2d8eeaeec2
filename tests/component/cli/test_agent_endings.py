"""Answers that are none: failed, incomplete, cut off. What came is shown, and the exit code is 1."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from command_line import Outcome
from component.cli.engineer import Engineer
from foundry_rollouts.errors import CloudError, Refusal

AGENT = """
import http.server, json, os

ENDS = {"incomplete": {"incomplete_details": {"reason": "max_output_tokens"}},
        "failed": {"error": {"code": "model_away", "message": "the model is away"}}, "cancelled": {}, "completed": {}}

class Agent(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer("application/json", json.dumps({"status": "healthy"}).encode())

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said, more = body["input"], ENDS.get(body["input"], {})
        message = {"type": "message", "content": [{"type": "output_text", "text": "half of it"}]}
        response = {"object": "response", "id": "caresp_4711", "status": "in_progress", "output": []}
        end = {**response, "status": said, "output": [message], **more}
        if said == "page":
            return self.answer("text/html", b"<html>busy</html>")
        if not body.get("stream") or said == "whole":
            end["status"] = "completed" if said == "whole" else said
            return self.answer("application/json", json.dumps(end).encode())
        events = [("response.created", {"response": response}), ("response.output_text.delta", {"delta": "half of it"})]
        if said in ENDS:
            events.append((f"response.{said}", {"response": end}))
        if said == "error":
            events.append(("error", {"error": {"code": "broken", "message": "it broke"}}))
        named = said != "unnamed"
        frames = [
            (f"event: {kind}\\n" if named else "") + "data: " + json.dumps({"type": kind, **data})
            for kind, data in events
        ]
        frames += [] if named else ["data: [DONE]"]
        self.answer("text/event-stream", "".join(frame + "\\n\\n" for frame in frames).encode())

    def answer(self, kind, content):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Agent).serve_forever()
"""
LOGS = "see 'foundry-rollouts agent logs'"


@pytest.fixture(scope="module")
def project() -> str:
    return "endings"


@pytest.fixture
def asking(local_foundry: str, inside: Callable[..., Outcome], tmp_path: Path, project: str) -> Iterator[Engineer]:
    """Give an engineer whose agent ends its answers as it is told; it is deployed once."""
    with httpx.Client(base_url=f"{local_foundry}/_emulator") as control:
        engineer = Engineer(local_foundry, inside, tmp_path, control, project)
        if not any(each["name"] == "shop" for each in engineer.told("list")):
            engineer.well("deploy", str(engineer.some_code(main__py=AGENT)), "--wait")
        yield engineer


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("said", "out", "says"),
    [
        ("incomplete", "half of it\n", "max_output_tokens: the response is incomplete: max_output_tokens"),
        ("failed", "half of it\n", "model_away: the model is away"),
        ("cancelled", "half of it\n", "cancelled: the response is cancelled, without a reason"),
    ],
)
def test_a_response_that_did_not_complete_shows_what_came(
    asking: Engineer, said: str, out: str, says: str, stream: bool
) -> None:
    done = asking.run("invoke", "shop", said, *(["--stream"] if stream else []))
    assert (done.code, done.out) == (1, out)
    assert done.errors[-1].startswith(f"error: responses.create: HTTP 200 {says} (request ")
    assert ", region local, response caresp_4711)" in done.errors[-1]
    assert sum(line.startswith("error") for line in done.errors) == 1


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("cut", "responses.create: no answer cut_off: the stream ended before the response did (request "),
        ("error", "responses.create: HTTP 200 broken: it broke (request "),
    ],
)
def test_a_stream_that_breaks_off_shows_what_came(asking: Engineer, said: str, says: str) -> None:
    done = asking.run("invoke", "shop", said, "--stream")
    assert (done.code, done.out) == (1, "half of it\n")
    assert done.errors[0].startswith("version 1, session ")
    assert done.errors[-1].startswith(f"error: {says}")
    assert "region local, response caresp_4711" in done.errors[-1]


@pytest.mark.parametrize(
    "words", [["completed"], ["completed", "--stream"], ["whole", "--stream"], ["unnamed", "--stream"]]
)
def test_a_whole_answer_is_one_however_it_comes(asking: Engineer, words: list[str]) -> None:
    assert asking.well("invoke", "shop", *words).out == "half of it\n"


def test_what_is_no_response_is_shown_and_an_error(asking: Engineer) -> None:
    done = asking.run("invoke", "shop", "page")
    assert (done.code, done.out) == (1, "<html>busy</html>\n")
    assert "answered 200 with something that is no response (request " in done.errors[-1]


def test_verbose_names_each_request_its_region_and_the_response(asking: Engineer) -> None:
    plain, verbose = (asking.well("invoke", "shop", "completed", *more) for more in ([], ["--verbose"]))
    assert "request" not in plain.err
    heard, who = verbose.errors
    assert heard.startswith("responses.create: HTTP 200, request ")
    assert heard.endswith(", region local")
    assert ", response caresp_4711, " in who
    refused = asking.run("show", "nobody", "--verbose")
    assert refused.errors[0].startswith("agents.get: HTTP 404, request ")
    assert ", region local): " in refused.errors[-1]


def test_the_ids_of_a_refusal_stand_in_its_line() -> None:
    refusal = Refusal(500, "x", "no", "req-1", "swedencentral", "caresp_1")
    assert str(CloudError("a", refusal)) == "a: HTTP 500 x: no (request req-1, region swedencentral, response caresp_1)"
    assert str(CloudError("a", Refusal(500, "x", "no"))) == "a: HTTP 500 x: no"
