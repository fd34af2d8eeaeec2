"""A real Prometheus over the rules that we ship, in a hurry: it scrapes and judges every second or two."""

import asyncio
import math
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from patience import PATIENCE
from tools.monitoring import PROMETHEUS as RULES
from tools.system_packages import found

PROGRAM = found("prometheus")
#: A scrape may take as long as the time between two: on a busy machine one may fail, and the next one comes soon.
SCRAPES, JUDGES = "2s", "1s"
#: How far back rules look that compare now with a quarter of an hour ago; several scrapes, in case one fails.
BEFORE = "16s"


@dataclass(frozen=True)
class LivePrometheus:
    """What Prometheus answers."""

    http: httpx.AsyncClient

    async def values(self, query: str) -> list[tuple[dict[str, str], float]]:
        """Return the series that ``query`` gives now, those without a number left out."""
        answer = await self.http.get("/api/v1/query", params={"query": query})
        assert answer.status_code == 200, f"{query}: {answer.text}"
        result: list[Any] = answer.json()["data"]["result"]
        read = [(each["metric"], float(each["value"][1])) for each in result]
        return [(labels, value) for labels, value in read if not math.isnan(value)]

    async def label_values(self, series: str, label: str) -> list[str]:
        """Return what ``label`` is in ``series``, as a variable of a dashboard asks for it."""
        answer = await self.http.get(f"/api/v1/label/{label}/values", params={"match[]": series})
        found_values: list[str] = answer.raise_for_status().json()["data"]
        return found_values

    async def rules(self) -> list[dict[str, Any]]:
        """Return every rule with its health."""
        groups = (await self.http.get("/api/v1/rules")).raise_for_status().json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


def hurried(text: str) -> str:
    """Return a file of rules that waits a second for what it waits for minutes otherwise."""
    return re.sub(r"(?m)^( +)for: \w+$", r"\1for: 1s", text).replace(" offset 15m", f" offset {BEFORE}")


def configuration(target: str) -> str:
    """Return our configuration for one target and short intervals."""
    text = (RULES / "prometheus.yml").read_text("utf-8")
    hurry = (("scrape_interval: 15s", f"scrape_interval: {SCRAPES}"), ("ion_interval: 15s", f"ion_interval: {JUDGES}"))
    for right, other in (("127.0.0.1:8080", target), *hurry):
        assert right in text
        text = text.replace(right, other)
    return text


async def begun(folder: Path, listen: str) -> asyncio.subprocess.Process:
    """Start Prometheus with the configuration in ``folder``, where its series lie too."""
    assert PROGRAM is not None
    return await asyncio.create_subprocess_exec(
        PROGRAM,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address={listen}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


@asynccontextmanager
async def a_prometheus(
    folder: Path, target: str, files: Mapping[str, str] | None = None
) -> AsyncIterator[LivePrometheus]:
    """Run Prometheus over the service at ``target`` with our rules, or with ``files`` in their place."""
    folder.mkdir()
    shipped = {name: hurried((RULES / name).read_text("utf-8")) for name in ("recording.yml", "alerts.yml")}
    for name, text in {**shipped, "prometheus.yml": configuration(target), **(files or {})}.items():
        (folder / name).write_text(text, "utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
    process = await begun(folder, listen)
    try:
        async with httpx.AsyncClient(base_url=f"http://{listen}", timeout=PATIENCE, trust_env=False) as client:
            await answers(client)
            yield LivePrometheus(client)
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE)


async def answers(client: httpx.AsyncClient) -> None:
    """Wait until Prometheus is ready: before that it answers without JSON."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                if (await client.get("/-/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
