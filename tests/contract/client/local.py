"""What tests of the client against the local Foundry share: definitions, an agent of code, patience."""

from datetime import timedelta

from foundry_rollouts.foundry.client import FoundryClient
from foundry_rollouts.foundry.definition import Definition
from foundry_rollouts.foundry.polling import Pace
from foundry_rollouts.foundry.retry import RetryBudget

BRISK = Pace(timedelta(seconds=30), first=timedelta(seconds=0.05), every=timedelta(seconds=0.05))
RETRIES = RetryBudget(
    first=timedelta(milliseconds=10), jitter=timedelta(milliseconds=10), slow=timedelta(milliseconds=200)
)
PROTOCOLS = {"responses": "2.0.0", "invocations": "2.0.0"}
LATE = timedelta(seconds=20)

MAIN = b"""
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Agent(BaseHTTPRequestHandler):
    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer({"status": "healthy"})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print("asked", asked, flush=True)
        self.answer({"heard": asked, "version": os.environ["FOUNDRY_AGENT_VERSION"]})
    def log_message(self, *args):
        pass

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Agent).serve_forever()
"""


def image(**behaviour: object) -> Definition:
    query = "&".join(f"{key}={value}" for key, value in behaviour.items())
    return Definition(image=f"emulator://echo?{query}".rstrip("?"), protocols=PROTOCOLS)


async def two_versions(cloud: FoundryClient) -> None:
    for reply in ("one", "two"):
        await cloud.api.versions.create("a", image(reply=reply))
