"""Nobody holds so many streams of events that others find the service full."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import httpx

from foundry_rollouts.core.model.access import Role
from foundry_rollouts.web.endings import StreamsEnd
from foundry_rollouts.web.server import EmbeddedServer, config_for
from foundry_rollouts.web.services import Services
from patience import PATIENCE
from unit.web.admitted import Admitted, admitted
from unit.web.served import app_over

EVERYTHING = "/api/v1/events"


@asynccontextmanager
async def with_two_for_everybody(people: Admitted) -> AsyncIterator[str]:
    """Serve the app to ``people``, of whom each may hold two streams; yield where."""
    server = EmbeddedServer(config_for(StreamsEnd(app_over(people.services), most=2)))
    with socket.create_server(("127.0.0.1", 0)) as door:
        task = asyncio.create_task(server.serve([door]))
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            people.services.stop.set()
            server.should_exit = True
            await task


async def test_who_holds_all_their_streams_gets_no_other_until_one_ends_and_others_are_served(
    services: Services,
) -> None:
    people = await admitted(replace(services, stop=asyncio.Event()))
    async with (
        asyncio.timeout(PATIENCE),
        with_two_for_everybody(people) as url,
        httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client,
        AsyncExitStack() as held,
    ):

        async def opened(role: Role, until: AsyncExitStack) -> httpx.Response:
            headers = {"Authorization": f"Bearer {people.secrets[role]}", "Accept": "text/event-stream"}
            return await until.enter_async_context(client.stream("GET", EVERYTHING, headers=headers))

        first = await held.enter_async_context(AsyncExitStack())
        assert [(await opened(Role.VIEWER, each)).status_code for each in (first, held)] == [200, 200]
        refused = await opened(Role.VIEWER, held)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        assert b"you hold 2 streams of events open" in await refused.aread()
        assert refused.headers["content-type"] == "application/problem+json"
        assert (await opened(Role.OPERATOR, held)).status_code == 200
        await first.aclose()
        while (await opened(Role.VIEWER, held)).status_code == 429:
            pass  # the service has not noticed yet
