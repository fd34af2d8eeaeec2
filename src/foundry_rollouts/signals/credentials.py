"""How we log in at servers that give counts: a file beside the policies, which name its sections and hold no secret.

    [metrics]
    url = "https://prometheus.example"
    token-file = "prometheus-token"
    ca-file = "ca.pem"

A section's secret goes to its address and nowhere else, never in the clear, and into no sentence of ours. The file is
read anew for each request, so that secrets may change at any time.
"""

import asyncio
import re
import ssl
import tomllib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from foundry_rollouts.core.model.sources import is_in_the_clear
from foundry_rollouts.errors import UsageError
from foundry_rollouts.signals.reported import SourceError

KEYS = ("url", "token", "token-file", "username", "password", "password-file", "ca-file")
#: The ways to log in; a server may also want nothing, and be known by its own certificate.
WAYS: tuple[set[str], ...] = ({"token"}, {"username", "password"}, set())
#: What may stand in a header: one line without blanks.
VISIBLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Login:
    """How to ask one server."""

    header: str | None = field(repr=False)  #: The value of Authorization.
    secrets: tuple[str, ...] = field(repr=False)
    trust: ssl.SSLContext | None  #: None: the certificates of this machine.

    def without_secrets(self, text: str) -> str:
        """Return ``text`` as people may read it: a server may repeat what it was sent."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


@dataclass(frozen=True, slots=True)
class Credentials:
    """The sections of one file; None is no file."""

    file: Path | None = None

    def check(self) -> None:
        """Raise UsageError when the file is not as it has to be; the secrets that it names may come later."""
        try:
            for name, section in self._sections().items() if self.file else ():
                _check(name, section)
        except SourceError as error:
            raise UsageError(str(error)) from None

    async def login(self, name: str, url: str) -> Login:
        """Return how to log in at ``url`` by the section ``name``. Raises SourceError, in words without a secret."""
        return await asyncio.to_thread(self._login_at, name, url)

    def _login_at(self, name: str, url: str) -> Login:
        if self.file is None:
            raise SourceError(f"credentials {name} are not known: no file of credentials is set")
        section = self._sections().get(name)
        if section is None:
            raise SourceError(f"credentials {name} are not known: {self.file.name} has no section [{name}]")
        _check(name, section)
        if not _is_within(url, section["url"]):
            raise SourceError(f"credentials {name} are for {section['url']}: this is another address")
        return self._login(name, section)

    def _sections(self) -> Mapping[str, Any]:
        assert self.file is not None  # noqa: S101 - who asks has checked
        try:
            return tomllib.loads(self.file.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"{self.file.name} cannot be read ({type(error).__name__})") from None
        except tomllib.TOMLDecodeError as error:
            # The library's text may hold a piece of a secret.
            where = re.search(r"at line \d+", str(error))
            raise SourceError(f"{self.file.name} is not TOML{f' ({where[0]})' if where else ''}") from None

    def _login(self, name: str, section: Mapping[str, Any]) -> Login:
        trust = self._trust(name, section["ca-file"]) if "ca-file" in section else None
        if token := self._secret(name, section, "token"):
            return Login(f"Bearer {token}", (token,), trust)
        if password := self._secret(name, section, "password"):
            pair = b64encode(f"{section['username']}:{password}".encode()).decode()
            return Login(f"Basic {pair}", (pair, password), trust)
        return Login(None, (), trust)

    def _secret(self, name: str, section: Mapping[str, Any], key: str) -> str | None:
        """Return what stands under ``key``, or in the file that it names; None for neither."""
        secret = section.get(key)
        if file := section.get(f"{key}-file"):
            try:
                secret = self._beside(file).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                what = f"{Path(file).name} cannot be read ({type(error).__name__})"
                raise SourceError(f"credentials {name}: {what}") from None
        if secret is not None and not (VISIBLE.fullmatch(secret) if key == "token" else secret):
            raise SourceError(f"credentials {name}: the {key} is empty, or not one line without blanks")
        return secret

    def _trust(self, name: str, file: str) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=str(self._beside(file)))
        except OSError as error:
            raise SourceError(f"credentials {name}: {Path(file).name} holds no certificates") from error

    def _beside(self, path: str) -> Path:
        assert self.file is not None  # noqa: S101 - who asks has checked
        return self.file.parent / path


def _check(name: str, section: Any) -> None:
    """Refuse a section whose keys make no sense together. Raises SourceError."""
    if not isinstance(section, dict) or not all(isinstance(text, str) and text for text in section.values()):
        raise SourceError(f"credentials {name} cannot be used: write [{name}], and below it keys with texts")
    if unknown := sorted(section.keys() - set(KEYS)):
        raise SourceError(f"credentials {name}: {unknown[0]} is not known here: write {', '.join(KEYS)}")
    if "url" not in section or "@" in section["url"] or is_in_the_clear(section["url"]):
        raise SourceError(f"credentials {name} would go anywhere, or in the clear: write url with an https address")
    keys = {key.removesuffix("-file") for key in section}
    if any({key, f"{key}-file"} <= section.keys() for key in keys):
        raise SourceError(f"credentials {name} have a secret twice: keep the text or the file")
    if keys == {"url"} or keys - {"url", "ca"} not in WAYS:
        raise SourceError(
            f"credentials {name} need a token, or a username with its password, or a ca-file: one of them"
        )


def _is_within(url: str, place: str) -> bool:
    """Whether ``url`` is the server and the folder that ``place`` names, or lies below."""
    try:
        (server, folders), (ours, root) = _place(url), _place(place.rstrip("/"))
    except ValueError:
        return False
    return server == ours and ".." not in folders and folders[: len(root)] == root


def _place(url: str) -> tuple[tuple[str, str | None, int | None], list[str]]:
    """Return the server of ``url`` and the folders of its path. Raises ValueError for what is no address."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return (parts.scheme, parts.hostname, port), unquote(parts.path).split("/")
