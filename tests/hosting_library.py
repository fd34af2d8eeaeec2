"""An agent on Microsoft's hosting library whose handlers raise when they are told to, and a caller of it."""

import json
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import httpx

REQUIREMENTS = ("azure-ai-agentserver-invocations>=1.2,<2", "azure-ai-agentserver-responses>=2.3,<3", "uvicorn>=0.30")

MAIN = """
import asyncio, logging, os
if os.environ["EXPORTER"] == "off":  # some other exporter than the one that prints to the console
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
os.environ["APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL"] = "true"
from azure.ai.agentserver.invocations import InvocationAgentServerHost
from azure.ai.agentserver.responses import ResponsesAgentServerHost, TextResponse
from starlette.responses import JSONResponse, StreamingResponse

class Host(InvocationAgentServerHost, ResponsesAgentServerHost):
    pass

app = Host()

async def words(said):
    if said == "first":
        raise RuntimeError("at the first word")
    yield "well "
    await asyncio.sleep(0.01)
    if said == "during":
        raise RuntimeError("during the answer")
    yield "said"
    if said == "after":
        raise RuntimeError("after the answer")

@app.response_handler
async def respond(request, context, cancelled):
    said = await context.get_input_text()
    if said == "before":
        raise RuntimeError("before the first event")
    if said == "logged":
        logging.getLogger("my.agent").error("a tool failed, another one was used")
    return TextResponse(context, request, text=words(said))

@app.invoke_handler
async def invoke(request):
    asked = await request.json()
    if asked["say"] == "before":
        raise RuntimeError("before the answer")
    if asked["say"] == "refused":
        return JSONResponse({"error": "no such order"}, status_code=422)
    if not asked["stream"]:
        return JSONResponse({"said": asked["say"]})
    return StreamingResponse((word.encode() async for word in words(asked["say"])), media_type="text/event-stream")

port = int(os.environ["PORT"])
if os.environ["SERVER"] == "uvicorn":
    import uvicorn
    uvicorn.run(app, host="127.0.0.1", port=port)
else:
    app.run(host="127.0.0.1", port=port)
"""


def an_installation(folder: Path) -> Path:
    """Install the library from the index and return the interpreter that has it."""
    venv.create(folder, with_pip=not shutil.which("uv"))
    python = folder / "bin" / "python"
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    install = [uv, "pip", "install", "--python", str(python)] if uv else [str(python), "-m", "pip", "install"]
    subprocess.run([*install, "--quiet", *REQUIREMENTS], check=True, timeout=240)
    return python


@dataclass
class Caller:
    """Calls one session, and counts what it sees: calls, failures, and what was refused as its own mistake."""

    http: httpx.AsyncClient
    session: str
    calls: int = 0
    failures: int = 0
    mistakes: int = 0

    async def respond(self, said: object, *, stream: bool) -> None:
        body = {"input": said, "stream": stream, "model": "m", "agent_session_id": self.session}
        await self._call("/agents/a/endpoint/protocols/openai/responses", body)

    async def invoke(self, said: str, *, stream: bool) -> None:
        path = "/agents/a/endpoint/protocols/invocations"
        await self._call(path, {"say": said, "stream": stream}, agent_session_id=self.session)

    async def _call(self, path: str, body: dict[str, object], **params: str) -> None:
        self.calls += 1
        try:
            answer = await self.http.post(path, json=body, params=params)
        except httpx.HTTPError:
            self.failures += 1
            return
        if 400 <= answer.status_code < 500:
            self.mistakes += 1
        elif answer.status_code >= 500 or has_failed(answer):
            self.failures += 1


def has_failed(answer: httpx.Response) -> bool:
    """Whether an answer says behind its 200 that it failed."""
    if answer.headers["content-type"].startswith("application/json"):
        return bool(json.loads(answer.text).get("status") == "failed")
    # A stream of the Invocations protocol that breaks has no word for it: it is not whole.
    return "event: error" in answer.text or "event: response.failed" in answer.text or "said" not in answer.text
