"""The end of the service: nobody who calls just then is left waiting."""

import uvicorn

from foundry_rollouts.web.app import create_app
from foundry_rollouts.web.server import EmbeddedServer
from foundry_rollouts.web.services import Services
from late_caller import is_left_waiting


async def test_a_caller_that_comes_as_the_service_stops_is_not_left_on_an_open_line(services: Services) -> None:
    config = uvicorn.Config(create_app(services), log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    assert not await is_left_waiting(EmbeddedServer(config))
