"""Code uploads written byte by byte: all that the standard allows, and what it does not."""

import hashlib
import json
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from emulated import a_zip, code_definition
from foundry_emulator.background import running
from foundry_emulator.config import EmulatorConfig, Lifecycle
from patience import PATIENCE
from raw_uploads import CODE_HEAD, METADATA, METADATA_HEAD, PLAIN, ZIP, Part, a_socket, code, metadata, multipart, post

AGENTS = count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cloud")


@pytest.fixture(scope="module")
def base_url(folder: Path) -> Iterator[str]:
    with running(EmulatorConfig(port=0, lifecycle=Lifecycle("immediate"), scratch=folder)) as url:
        yield url


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(folder: Path) -> Iterator[None]:
    yield
    deadline = time.monotonic() + PATIENCE
    while (left := list(folder.glob("upload-*"))) and time.monotonic() < deadline:
        pass
    assert left == []


def versions_of(agent: str) -> str:
    return f"/api/projects/p/agents/{agent}/versions"


@pytest.fixture
def path() -> str:
    return versions_of(f"agent-{next(AGENTS)}")


BOM = b"\xef\xbb\xbf"
WITH_FILENAME = (
    'Content-Disposition: form-data; name="metadata"; filename="metadata.json"\r\nContent-Type: application/json'
)
NAKED = 'Content-Disposition: form-data; name="metadata"'
BIG = json.dumps({"definition": code_definition(environment_variables={"BLOB": "x" * 3_000_000})}).encode()
UMLAUTS = {"description": "Käse", "definition": code_definition()}


def in_charset(charset: str) -> bytes:
    return json.dumps(UMLAUTS, ensure_ascii=False).encode(charset)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([metadata(), code()], id="as the document has it"),
        pytest.param([metadata(head=WITH_FILENAME), code()], id="curl and FormData: a filename on metadata"),
        pytest.param([code(), metadata(head=WITH_FILENAME)], id="code first"),
        pytest.param([metadata(head=NAKED), code()], id="no content type: the sync SDK"),
        pytest.param([metadata(head=f"{NAKED}\r\nContent-Type: text/plain; charset=utf-8"), code()], id="async SDK"),
        pytest.param(
            [metadata(head=NAKED.replace("Content-D", "CONTENT-d").replace("form-data", "Form-Data")), code()]
        ),
        pytest.param([metadata(head="Content-Disposition: form-data; name=metadata"), code()], id="no quotes"),
        pytest.param([metadata(BOM + METADATA), code()], id="a byte order mark"),
        pytest.param([metadata(METADATA.decode().encode("utf-16")), code()], id="UTF-16 with a mark"),
        pytest.param([metadata(BIG), code()], id="3 MB of metadata"),
        pytest.param([metadata(), code(head=f"{CODE_HEAD}\r\nContent-Transfer-Encoding: binary")], id="binary"),
        pytest.param([metadata(), code(head=CODE_HEAD.replace("application/zip", "application/octet-stream"))]),
        pytest.param([metadata(), code(head=CODE_HEAD.replace("a.zip", 'käse \\"1\\".zip'))], id="any filename"),
        pytest.param(
            [metadata(), code(head=CODE_HEAD.replace('filename="a.zip"', "filename*=UTF-8''k%C3%A4se.zip"))],
            id="a filename as older clients write other scripts",
        ),
    ],
)
def test_parts_arrive_however_a_client_writes_them(base_url: str, path: str, parts: list[Part]) -> None:
    answer = post(base_url, path, multipart(*parts))
    assert answer.status == 200, answer.body
    assert answer.json()["definition"]["code_configuration"]["content_hash"] == hashlib.sha256(ZIP).hexdigest()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param("Multipart/Form-Data; Boundary=b", multipart(metadata(), code()), id="case"),
        pytest.param("multipart/form-data;boundary=b", multipart(metadata(), code()), id="no space"),
        pytest.param(
            'MULTIPART/FORM-DATA; charset=utf-8; Boundary="quoted b"',
            multipart(metadata(), code(), boundary="quoted b"),
            id="quoted boundary",
        ),
        pytest.param(PLAIN, b"For old readers.\r\n" + multipart(metadata(), code()), id="preamble"),
        pytest.param(PLAIN, b"--bold\r\n" + multipart(metadata(), code()), id="nearly a boundary"),
        pytest.param(PLAIN, multipart(metadata(), code()).replace(b"--b\r", b"--b \t\r", 1), id="padding first"),
        pytest.param(PLAIN, b"\r\n" + multipart(metadata(), code()), id="empty line first"),
        pytest.param(PLAIN, multipart(metadata(), code()) + b"\r\nThe end." * 9000, id="epilogue"),
        pytest.param(PLAIN, multipart(metadata(), code(), end="--"), id="nothing after the last boundary"),
        pytest.param(PLAIN, multipart(metadata(), code()).replace(b"\r\n--b\r\n", b"\r\n--b \t\r\n"), id="padding"),
    ],
)
def test_the_frame_may_be_any_that_the_standard_allows(
    base_url: str, path: str, content_type: str, body: bytes
) -> None:
    answer = post(base_url, path, body, content_type)
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_chunked_body_may_be_cut_anywhere(base_url: str, path: str, size: int) -> None:
    body = b"Hello\r\n" + multipart(metadata(), code()) + b"epilogue"
    answer = post(base_url, path, [body[at : at + size] for at in range(0, len(body), size)])
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("charset", ["iso-8859-1", "utf-16", "utf-16-le", "windows-1252", "UTF-8"])
@pytest.mark.parametrize("where", ["part", "form", "body"])
def test_a_declared_charset_is_the_one_that_is_read(base_url: str, path: str, charset: str, where: str) -> None:
    head = f"{METADATA_HEAD}; charset={charset}" if where == "part" else METADATA_HEAD
    declared = [Part('Content-Disposition: form-data; name="_charset_"', charset.encode())] if where == "form" else []
    content_type = f"{PLAIN}; charset={charset}" if where == "body" else PLAIN
    answer = post(base_url, path, multipart(*declared, metadata(in_charset(charset), head), code()), content_type)
    assert answer.status == 200, answer.body
    assert answer.json()["description"] == "Käse"


NO_NAME = "Content-Disposition: form-data"
ATTACHMENT = 'Content-Disposition: attachment; name="metadata"'
CODE_NAKED = 'Content-Disposition: form-data; name="code"'


@pytest.mark.parametrize(
    ("parts", "param", "says"),
    [
        pytest.param([metadata(), code(head=CODE_NAKED)], "code", "filename", id="code without a filename"),
        pytest.param([metadata(), code(head=f'{CODE_NAKED}; filename=""')], "code", "filename", id="empty filename"),
        pytest.param([metadata(), metadata(), code()], "metadata", "second 'metadata'", id="metadata twice"),
        pytest.param([metadata(), code(), code()], "code", "second 'code'", id="code twice"),
        pytest.param(
            [metadata(), code(), Part(CODE_HEAD.replace("code", "extra"), ZIP)], "extra", "Unknown part 'extra'"
        ),
        pytest.param([Part(NAKED.replace("metadata", "größe"), b"")], "größe", "Unknown part 'größe'"),
        pytest.param([code()], "metadata", "needs a 'metadata' part", id="no metadata"),
        pytest.param([metadata()], "code", "needs a 'code' part", id="no code"),
        pytest.param([metadata(), code(b"")], "code", "'code' part is empty", id="empty code"),
        pytest.param([metadata(b""), code()], "metadata", "'metadata' part is not valid JSON", id="empty metadata"),
        pytest.param([metadata(b"{"), code()], "metadata", "'metadata' part is not valid JSON", id="half a JSON"),
        pytest.param([metadata(b"[]"), code()], "metadata", "'metadata' part must be a JSON object", id="a list"),
        pytest.param([metadata(b"\xff{}"), code()], "metadata", "'metadata' part is not valid JSON", id="no UTF-8"),
        pytest.param([metadata(b"[" * 100_000), code()], "metadata", "'metadata' part is not valid JSON", id="deep"),
        pytest.param([metadata(b'{"name":"x","name":"y"}'), code()], "metadata", "given twice", id="a key twice"),
        pytest.param([metadata(head=f"{METADATA_HEAD}; charset=klingon"), code()], "metadata", "klingon", id="charset"),
        pytest.param([metadata(head=f"{METADATA_HEAD}; charset=hex"), code()], "metadata", "hex", id="no charset"),
        pytest.param([metadata(b'{"colour":1}'), code()], "metadata.definition", "definition", id="no definition"),
        pytest.param([Part(NO_NAME, b"x")], None, "with a name", id="no name"),
        pytest.param([Part(ATTACHMENT, METADATA)], None, "with a name", id="no form-data"),
        pytest.param([Part("Content-Type: text/plain", b"x")], None, "with a name", id="no disposition"),
        pytest.param(
            [Part(f"{NAKED}\r\nContent-Transfer-Encoding: base64", b"e30=")], "metadata", "base64", id="base64"
        ),
        pytest.param([metadata(b"x" * (16 * 1024 * 1024 + 1)), code()], "metadata", "at most", id="17 MB of metadata"),
        pytest.param([Part(f"{NAKED}\r\nX: {'x' * 9000}", b"")], None, "header size", id="a header of 9 kB"),
    ],
)
def test_a_wrong_part_is_refused_by_name(
    base_url: str, path: str, parts: list[Part], param: str | None, says: str
) -> None:
    status, named, message = post(base_url, path, multipart(*parts)).refusal()
    assert (status, named) == (400, param), message
    assert says in message


@pytest.mark.parametrize(
    ("content_type", "body", "says"),
    [
        pytest.param("multipart/form-data", multipart(metadata(), code()), "names no boundary", id="no boundary"),
        pytest.param('multipart/form-data; boundary=""', multipart(metadata(), code()), "names no boundary"),
        pytest.param("multipart/form-data; boundary=other", multipart(metadata(), code()), "boundary", id="wrong"),
        pytest.param("multipart/form-data; boundary=other", ZIP * 2000, "boundary", id="wrong, and much of it"),
        pytest.param(f"multipart/form-data; boundary={'b' * 300}", b"--" + b"b" * 300, "Boundary length", id="long"),
        pytest.param(PLAIN, b"", "it is empty", id="empty"),
        pytest.param(PLAIN, b"--b--", "needs a 'metadata' part", id="no parts and no line"),
        pytest.param(PLAIN, b"--b--\r\n", "needs a 'metadata' part", id="no parts"),
        pytest.param(PLAIN, b"--b\r\n", "before its closing boundary", id="only a boundary"),
        pytest.param(PLAIN, multipart(metadata(), code(), end="")[:-3], "closing boundary, in part 'code'", id="cut"),
        pytest.param(PLAIN, multipart(metadata(), code())[:30], "before its closing boundary", id="cut in a header"),
        pytest.param(PLAIN, multipart(metadata(), code()).replace(b"\r\n", b"\n"), "end in LF alone", id="LF"),
        pytest.param(
            PLAIN, multipart(metadata(), end="\n").replace(b"\r\n", b"\n") + b"\n--b--\r\n", "end in LF alone"
        ),
        pytest.param(PLAIN, multipart(code(b"x" * 70_000)).replace(b"\r\n", b"\n"), "end in LF alone", id="long, LF"),
        pytest.param(PLAIN, METADATA, "boundary", id="plain JSON"),
    ],
)
def test_a_body_that_is_none_is_refused(base_url: str, path: str, content_type: str, body: bytes, says: str) -> None:
    status, _, message = post(base_url, path, body, content_type).refusal()
    assert status == 400
    assert says in message


def test_a_compressed_body_is_refused_with_what_would_be_read(base_url: str, path: str) -> None:
    answer = post(base_url, path, multipart(metadata(), code()), headers={"Content-Encoding": "gzip"})
    assert answer.refusal()[:2] == (415, "Content-Encoding")
    assert answer.headers["accept-encoding"] == "identity"
    assert post(base_url, path, multipart(metadata(), code()), headers={"Content-Encoding": "identity"}).status == 200


def test_a_caller_that_hangs_up_in_the_middle_leaves_nothing(base_url: str, path: str, folder: Path) -> None:
    head = (
        f"POST {path}?api-version=v1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n"
        f"Content-Type: {PLAIN}\r\nx-ms-code-zip-sha256: 00\r\nContent-Length: 100000000\r\n\r\n"
    )
    with a_socket(base_url) as connection:
        connection.sendall(head.encode() + multipart(metadata(), code(b"x" * 100_000), end="")[:-3])
        deadline = time.monotonic() + PATIENCE
        while not list(folder.glob("upload-*")) and time.monotonic() < deadline:
            pass


@pytest.mark.parametrize("status", [429, None])
def test_a_planted_fault_keeps_nothing_either(base_url: str, path: str, folder: Path, status: int | None) -> None:
    agent = path.split("/")[-2]
    fault = {
        "operation": "versions.create",
        "agent": agent,
        "times": 1,
        **({"status": status} if status else {"latency_ms": 5}),
    }
    planted = post(base_url, "/_emulator/faults", json.dumps(fault).encode(), "application/json")
    assert planted.status == 201, planted.body
    assert post(base_url, path, multipart(metadata(), code())).status == (status or 200)


def test_a_change_that_is_applied_later_still_has_its_code(base_url: str, path: str) -> None:
    agent = path.split("/")[-2]
    fault = {"operation": "versions.create", "agent": agent, "times": 1, "status": 504, "apply_after": 0.05}
    assert post(base_url, "/_emulator/faults", json.dumps(fault).encode(), "application/json").status == 201
    late = a_zip({"main.py": "#" * 2_000_000, "requirements.txt": ""})
    announced = {"x-ms-code-zip-sha256": hashlib.sha256(late).hexdigest()}
    assert post(base_url, path, multipart(metadata(), code(late)), headers=announced).status == 504
    deadline = time.monotonic() + PATIENCE
    read = post(base_url, f"{path}/1", b"", method="GET")
    while read.status == 404 and time.monotonic() < deadline:
        read = post(base_url, f"{path}/1", b"", method="GET")
    assert read.json()["definition"]["code_configuration"]["content_hash"] == announced["x-ms-code-zip-sha256"]


def test_a_version_that_is_not_made_leaves_no_zip(base_url: str, path: str) -> None:
    draft = metadata(json.dumps({"definition": code_definition(), "draft": True}).encode())
    assert post(base_url, path, multipart(draft, code())).status == 404
    assert [post(base_url, path, multipart(metadata(), code())).json()["version"] for _ in range(2)] == ["1", "1"]
