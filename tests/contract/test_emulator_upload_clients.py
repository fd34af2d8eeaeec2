"""Code uploads by clients that are not ours: curl in its many ways, aiohttp, urllib3."""

import hashlib
import json
import shutil
import subprocess
from itertools import count
from pathlib import Path

import aiohttp
import pytest
import urllib3

from raw_uploads import METADATA, ZIP

AGENTS = count()
HEADERS = {"Authorization": "Bearer token", "x-ms-code-zip-sha256": hashlib.sha256(ZIP).hexdigest()}
CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")


def curl(*arguments: str, cwd: Path) -> str:
    return subprocess.run(["curl", "-sS", *arguments], cwd=cwd, capture_output=True, text=True, check=True).stdout


@CURL
def test_the_document_s_own_commands_work(base_url: str, tmp_path: Path) -> None:
    endpoint, agent = f"{base_url}/api/projects/p", "by-the-document"
    (tmp_path / "metadata.json").write_bytes(METADATA)
    (tmp_path / "agent-code.zip").write_bytes(ZIP)
    bearer = ["-H", "Authorization: Bearer token"]
    parts = [
        *("-H", f"x-ms-code-zip-sha256: {hashlib.sha256(ZIP).hexdigest()}"),
        *("-F", "metadata=@metadata.json;type=application/json"),
        *("-F", f"code=@./agent-code.zip;type=application/zip;filename={agent}.zip"),
    ]
    created = curl(
        *("-X", "POST", f"{endpoint}/agents?api-version=2025-11-15-preview"),
        *(*bearer, "-H", f"x-ms-agent-name: {agent}", *parts),
        cwd=tmp_path,
    )
    assert json.loads(created)["versions"]["latest"]["version"] == "1"
    again = curl(
        "-X", "POST", f"{endpoint}/agents/{agent}?api-version=2025-11-15-preview", *bearer, *parts, cwd=tmp_path
    )
    assert json.loads(again)["versions"]["latest"]["version"] == "1"
    download = f"{endpoint}/agents/{agent}/code:download?api-version=2025-11-15-preview"
    curl("-O", "-J", download, *bearer, cwd=tmp_path)
    curl("-O", "-J", f"{download}&agent_version=1", *bearer, cwd=tmp_path)
    assert (tmp_path / f"{agent}.zip").read_bytes() == ZIP
    assert (tmp_path / f"{agent}-1.zip").read_bytes() == ZIP


CODE = ["-F", "code=@agent-code.zip;type=application/zip;filename=a.zip"]
FILE = ["-F", "metadata=@metadata.json;type=application/json"]


@CURL
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([*FILE, *CODE], None),
        ([*CODE, *FILE], None),
        (["-F", "metadata=<metadata.json;type=application/json", *CODE], None),
        (["--form-string", f"metadata={METADATA.decode()}", *CODE], None),
        ([*FILE, *CODE, "-H", "Transfer-Encoding: chunked"], None),
        ([*FILE, *CODE, "-H", "Expect: 100-continue"], None),
        ([*FILE, *CODE, "--http1.0"], None),
        (["-F", "metadata=@metadata.json;encoder=base64", *CODE], "transfer encoding 'base64'"),
        ([*FILE, "-F", "code=<agent-code.zip"], "The 'code' part needs a filename."),
        ([*FILE, "-F", "code=@agent-code.zip,metadata.json"], "The 'code' part needs a filename."),
        ([*FILE, *FILE, *CODE], "a second 'metadata' part"),
        ([*FILE, *CODE, "-F", "note=hello"], "Unknown part 'note'"),
        (["--data-binary", "@agent-code.zip", "-H", "Content-Type: application/zip"], "not valid JSON"),
        (["--data-binary", "@metadata.json", "-H", "Content-Type: application/json"], "needs a multipart upload"),
    ],
)
def test_curl_sends_it_in_every_way(base_url: str, tmp_path: Path, arguments: list[str], says: str | None) -> None:
    (tmp_path / "metadata.json").write_bytes(METADATA)
    (tmp_path / "agent-code.zip").write_bytes(ZIP)
    headers = [word for name, value in HEADERS.items() for word in ("-H", f"{name}: {value}")]
    url = f"{base_url}/api/projects/p/agents/curl-{next(AGENTS)}/versions?api-version=v1"
    answer = json.loads(curl("-X", "POST", url, *headers, *arguments, cwd=tmp_path))
    if says is None:
        assert answer["version"] == "1", answer
    else:
        assert says in answer["error"]["message"]


async def test_aiohttp_sends_a_form(base_url: str) -> None:
    form = aiohttp.FormData()
    form.add_field("code", ZIP, filename="käse.zip")
    form.add_field("metadata", METADATA.decode(), content_type="application/json")
    url = f"{base_url}/api/projects/p/agents/aiohttp/versions?api-version=v1"
    async with aiohttp.ClientSession() as session, session.post(url, data=form, headers=HEADERS) as answer:
        assert answer.status == 200, await answer.text()


def test_urllib3_sends_a_form(base_url: str) -> None:
    url = f"{base_url}/api/projects/p/agents/urllib3/versions?api-version=v1"
    fields = [("metadata", ("blob", METADATA, "application/json")), ("code", ("käse.zip", ZIP, "application/zip"))]
    body, content_type = urllib3.encode_multipart_formdata(fields)
    answer = urllib3.request("POST", url, body=body, headers={**HEADERS, "Content-Type": content_type})
    assert answer.status == 200, answer.data
