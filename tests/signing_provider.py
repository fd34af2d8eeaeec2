"""A local provider of OpenID Connect that signs people in: over TLS, with codes that serve once and only with PKCE."""

import hashlib
import json
import secrets
import ssl
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import trustme

from identity_provider import CLIENT, Provider

SECRET = "the-secret-of-the-app"


@dataclass
class SigningProvider(Provider):
    """A provider whose sign-in page signs the same person in at once."""

    certificates: str = ""
    person: dict[str, Any] = field(default_factory=dict)  #: Claims that are otherwise.
    refuses: bool = False
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    redeemed: list[dict[str, str]] = field(default_factory=list)

    def authorize(self, asked: dict[str, str]) -> str:
        """Return where the browser is sent back to."""
        if self.refuses:
            said = {
                "error": "access_denied",
                "error_description": "the person <b>cancelled</b>",
                "state": asked["state"],
            }
            return f"{asked['redirect_uri']}?{urlencode(said)}"
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def redeem(self, sent: dict[str, str]) -> dict[str, Any]:
        """Return the tokens for a code, which serves once and only to who asked for it."""
        asked = self.codes.pop(sent["code"], None)
        digest = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        proof = urlsafe_b64encode(digest).decode().rstrip("=")
        if asked is None or asked["code_challenge"] != proof or asked["redirect_uri"] != sent["redirect_uri"]:
            return {"error": "invalid_grant", "error_description": "the code is not yours"}
        self.redeemed.append(sent)
        token = self.token(**{"aud": CLIENT, "sub": "ann", "azp": None, "nonce": asked["nonce"], **self.person})
        return {"token_type": "Bearer", "expires_in": 3600, "access_token": "for nobody", "id_token": token}

    def answer(self, path: str) -> dict[str, Any] | None:
        endpoints = {f"{name}_endpoint": f"{self.issuer}/{name}" for name in ("authorization", "token")}
        if path == "/tenant/.well-known/openid-configuration":
            return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys", **endpoints}
        return super().answer(path.removeprefix("/tenant"))


@contextmanager
def a_signing_provider(folder: Path) -> Iterator[SigningProvider]:
    """Serve a provider over TLS on a port of the loopback address."""
    authority, provider = trustme.CA(), SigningProvider()
    provider.certificates = str(folder / "authority.pem")
    authority.cert_pem.write_to_path(provider.certificates)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/tenant/authorization":
                self.send_response(302)
                asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self.send_header("Location", provider.authorize(asked))
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.say(provider.answer(parts.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.say(provider.redeem({name: values[0] for name, values in parse_qs(body).items()}))

        def say(self, answer: dict[str, Any] | None) -> None:
            body = json.dumps(answer or {}).encode()
            self.send_response(400 if answer is None or "error" in answer else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's word
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        provider.issuer = f"https://localhost:{server.server_port}/tenant"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield provider
        finally:
            server.shutdown()
