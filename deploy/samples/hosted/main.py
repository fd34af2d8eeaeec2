"""A hosted agent on Microsoft's own hosting library: one process, both protocols.

The cloud installs the library from ``requirements.txt`` when it builds the version.
"""

import asyncio
import os
from collections.abc import AsyncIterator

from azure.ai.agentserver.invocations import InvocationAgentServerHost
from azure.ai.agentserver.responses import CreateResponse, ResponseContext, ResponsesAgentServerHost, TextResponse
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

VERSION = os.environ.get("FOUNDRY_AGENT_VERSION", "?")


class Host(InvocationAgentServerHost, ResponsesAgentServerHost):
    """Both protocols on one port."""


app = Host()


@app.response_handler
async def respond(request: CreateResponse, context: ResponseContext, cancelled: asyncio.Event) -> TextResponse:
    """Repeat what was said, word by word."""
    said = await context.get_input_text()

    async def words() -> AsyncIterator[str]:
        for number, word in enumerate(f"version {VERSION} heard: {said}".split(" ")):
            if cancelled.is_set():
                return
            yield word if number == 0 else f" {word}"
            await asyncio.sleep(0.05)

    return TextResponse(context, request, text=words())


@app.invoke_handler
async def invoke(request: Request) -> Response:
    """Repeat what was sent."""
    return JSONResponse({"version": VERSION, "heard": await request.json(), "session": request.state.session_id})


if __name__ == "__main__":
    app.run()
