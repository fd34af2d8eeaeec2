"""A local provider of OpenID Connect: it describes itself, publishes its keys, and signs whatever it is asked to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from foundry_rollouts import clock

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "99999999-8888-7777-6666-555555555555"


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Provider:
    """What the provider serves, and how often it was asked."""

    issuer: str = ""
    keys: dict[str, rsa.RSAPrivateKey] = field(default_factory=lambda: {"first": new_key()})
    is_down: bool = False
    described: dict[str, Any] = field(default_factory=dict)  #: What it says of itself instead.
    asked: int = 0  #: How often its keys were asked for.

    def claims(self, **but: Any) -> dict[str, Any]:
        """Return the claims of an access token of an operator; None takes one away."""
        now = clock.now()
        claims = {
            "iss": self.issuer,
            "aud": f"api://{CLIENT}",
            "tid": TENANT,
            "azp": "some-client",
            "iat": now,
            "nbf": now,
            "exp": now + timedelta(hours=1),
            "preferred_username": "ann@example.com",
            "roles": ["Rollouts.Operator"],
            **but,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, kid: str = "first", key: rsa.RSAPrivateKey | None = None, **but: Any) -> str:
        """Return a signed access token; ``key`` signs in the place of the one that ``kid`` names."""
        signing = key or self.keys[kid]
        return jwt.encode(self.claims(**but), signing, algorithm="RS256", headers={"kid": kid})

    def answer(self, path: str) -> dict[str, Any] | None:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys", **self.described}
        if path == "/keys":
            self.asked += 1
            return None if self.is_down else {"keys": [_public(kid, key) for kid, key in self.keys.items()]}
        return None


def _public(kid: str, key: rsa.RSAPrivateKey) -> dict[str, Any]:
    return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}


@contextmanager
def a_provider() -> Iterator[Provider]:
    """Serve a provider on a port of the loopback address."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = provider.answer(self.path)
            body = json.dumps(answer or {}).encode()
            self.send_response(200 if answer else 503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's word
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider.issuer = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield provider
        finally:
            server.shutdown()
