"""Behind a real nginx with the lines of docs/access.md: addresses, hosts, commands and live events come through."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from builders import NOON, a_rollout
from fakes import stand
from foundry_rollouts.core.model.access import Role
from foundry_rollouts.core.model.audit import AuditFilter, AuditOutcome
from foundry_rollouts.core.model.rollout import Phase
from foundry_rollouts.operations.tokens import make_token, token_for
from foundry_rollouts.store.store import SqlStore
from foundry_rollouts.web.services import Services
from patience import PATIENCE
from tools.repository import ROOT
from tools.system_packages import environment_of, found
from unit.web.served import serving

NGINX = found("nginx")
HOST = "rollouts.example.com"
#: What stands around the recipe: an nginx of its own that keeps nothing outside its folder.
AROUND = """
daemon off; master_process off; pid {folder}/pid; error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; {recipe} }}
}}
"""

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is missing (Debian: apt-get install nginx)")


def the_recipe(url: str) -> str:
    """Return the lines of docs/access.md, to the service at ``url``."""
    (recipe,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs" / "access.md").read_text("utf-8"), re.DOTALL)
    assert "proxy_pass http://10.0.0.7:8080;" in recipe
    return str(recipe).replace("http://10.0.0.7:8080", url)


@asynccontextmanager
async def nginx_before(url: str, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of nginx that says the worst of itself."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(AROUND.format(folder=folder, port=port, recipe=the_recipe(url)), "utf-8")
    command = (str(NGINX), "-p", str(folder), "-c", str(config), "-e", "stderr")
    process = await asyncio.create_subprocess_exec(*command, env=environment_of("nginx"))
    says = {"Host": f"{HOST}:{port}", "X-Forwarded-For": "192.0.2.66", "X-Forwarded-Proto": "https"}
    says |= {"X-Forwarded-Host": "elsewhere.example"}
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=says, timeout=PATIENCE) as client:
            await until_it_answers(client)
            yield client
    finally:
        process.terminate()
        await process.wait()


async def until_it_answers(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await client.get("/rollouts/healthz")
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return


async def test_the_recipe_brings_people_in_and_lets_nobody_lie(
    store: SqlStore, services: Services, tmp_path: Path
) -> None:
    await stand(store, a_rollout(phase=Phase.PROGRESSING, step=1, started_at=NOON))
    secret = (await make_token(store, token_for("ann", Role.OPERATOR, NOON, None, "ann"))).secret
    ours = replace(services, is_open=False, proxies=("127.0.0.1/32",), base_path="/rollouts", hosts=frozenset({HOST}))
    async with serving(ours) as (url, _), nginx_before(url, tmp_path) as client:
        shown = f"http://{client.headers['Host']}"
        form = {"token": secret, "next": "/history"}
        stranger = await client.post("/rollouts/ui/sign-in", data=form, headers={"Origin": "http://elsewhere.example"})
        answer = await client.post("/rollouts/ui/sign-in", data=form, headers={"Origin": shown})
        page = await client.get("/rollouts/")
        async with client.stream("GET", "/rollouts/ui/agents/live") as live:
            first = await anext(live.aiter_text())

    assert (stranger.status_code, answer.status_code, answer.headers["location"]) == (403, 303, "/rollouts/history")
    assert 'href="/rollouts/rollouts/r-1"' in page.text
    assert first.startswith("data: <hx-partial")
    (entry,) = await store.audit(AuditFilter(action="sign-in", outcome=AuditOutcome.ACCEPTED))
    assert entry.address == "127.0.0.1"
