"""Where the service listens, and whom it asks who they are."""

import re
from ipaddress import ip_network
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from foundry_rollouts.addresses import host_of, is_loopback
from foundry_rollouts.errors import UsageError
from foundry_rollouts.links import Links
from foundry_rollouts.settings.addresses import address
from foundry_rollouts.settings.database import PREFIX, DatabaseSettings
from foundry_rollouts.settings.entra import EntraSettings

_SECRET_CHARACTERS = 32
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_BASE_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")


class AccessSettings(DatabaseSettings):
    """Who may come in, and by which address."""

    listen: str = Field(
        default="127.0.0.1:8080",
        description="Where the ops API, the dashboard and /metrics are served: HOST:PORT. An address that other "
        f"machines reach is refused while there is no token and no identity provider, unless `{PREFIX}ACCESS` is "
        "`required`.",
    )
    access: Literal["auto", "required"] = Field(
        default="auto",
        description="`required`: everybody shows a token or signs in. `auto`: so, too, but not while `LISTEN` is "
        "loopback and neither an identity provider nor trusted proxies are set: then everybody on this machine "
        "may do everything.",
    )
    metrics_listen: str | None = Field(
        default=None,
        description="Where /metrics alone is served: HOST:PORT; the API's address then serves none.",
        json_schema_extra={"shown": "with the API"},
    )
    metrics_access: Literal["open", "token"] | None = Field(
        default=None,
        description="`open`: everybody may read /metrics. `token`: who shows the token of a viewer.",
        json_schema_extra={"shown": "open on a loopback address, else token"},
    )
    trusted_proxies: str = Field(
        default="",
        description="The addresses or networks of reverse proxies, with commas between: their X-Forwarded-For, "
        "-Proto and -Host are believed, those of nobody else.",
        json_schema_extra={"shown": "none"},
    )
    base_path: str = Field(
        default="",
        description="The path under which a proxy serves this service, for example `/rollouts`.",
        json_schema_extra={"shown": "none"},
    )
    hosts: str = Field(
        default="",
        description="The host names to answer to, with commas between; the addresses of this machine and the host of "
        "`LISTEN` need not be named.",
        json_schema_extra={"shown": "none"},
    )
    public_url: str | None = Field(
        default=None,
        description="Where people reach the pages, for the links in messages: `https://HOST`, with the base path. "
        "Plain http is refused unless the address is loopback. Its host need not be named in `HOSTS`.",
        json_schema_extra={"shown": "messages carry no link"},
    )
    link_secret: SecretStr | None = Field(
        default=None,
        repr=False,
        description="Signs the links to approvals: at least 32 characters, the same for every replica. Without it a "
        "message leads to the page of the rollout.",
        json_schema_extra={"shown": "no link is signed"},
    )
    signed_in_idle_hours: float = Field(
        default=8, ge=0.1, le=720, description="Who does not use the dashboard for so long is signed out."
    )
    signed_in_hours: float = Field(
        default=24,
        ge=0.1,
        le=720,
        description="Who signed in to the dashboard is signed out after so long in any case.",
    )
    requests_per_second: float = Field(
        default=50,
        ge=0.1,
        le=100_000,
        description="How many requests one token or one person may send in the long run; ten seconds' worth at once.",
    )
    entra: EntraSettings = Field(default_factory=EntraSettings, repr=False, description="Who signs in.")

    @property
    def host(self) -> str:
        return address(self.listen)[0]

    @property
    def port(self) -> int:
        return address(self.listen)[1]

    @property
    def doors(self) -> tuple[tuple[str, int], ...]:
        """The addresses to listen on: the API's, then that of the metrics where they have their own."""
        return tuple(map(address, filter(None, (self.listen, self.metrics_listen))))

    @property
    def is_open(self) -> bool:
        """Whether everybody on this machine may do everything."""
        is_alone = not (self.entra.is_set or self.trusted_proxies or self.hosts or self._is_public)
        return self.access == "auto" and is_alone and is_loopback(self.host)

    @property
    def needs_a_token(self) -> bool:
        """Whether the address is one that other machines reach, and only a token could say who comes in."""
        return self.access == "auto" and not self.entra.is_set and not is_loopback(self.host)

    @property
    def are_metrics_open(self) -> bool:
        """Whether everybody may read the metrics."""
        where = self.metrics_listen or self.listen
        return self.metrics_access == "open" or (self.metrics_access is None and is_loopback(address(where)[0]))

    @property
    def proxies(self) -> tuple[str, ...]:
        return _listed(self.trusted_proxies)

    @property
    def host_names(self) -> frozenset[str]:
        """The host names to answer to beside this machine's addresses."""
        public = {host_of(self.public_url).lower()} if self.public_url else set()
        return frozenset(_listed(self.hosts)) | {self.host} | public

    @property
    def links(self) -> Links | None:
        """The links in messages; None: they carry none."""
        key = self.link_secret.get_secret_value().encode() if self.link_secret else None
        return Links(self.public_url, key) if self.public_url else None

    @property
    def _is_public(self) -> bool:
        return self.public_url is not None and not is_loopback(host_of(self.public_url))

    @field_validator("listen", "metrics_listen")
    @classmethod
    def _refuse_no_address(cls, listen: str | None) -> str | None:
        try:
            return listen if listen is None or address(listen) else None
        except UsageError as error:
            raise ValueError(str(error)) from None

    @field_validator("trusted_proxies")
    @classmethod
    def _refuse_no_network(cls, proxies: str) -> str:
        for each in _listed(proxies):
            try:
                network = ip_network(each)
            except ValueError:
                raise ValueError(f"{each!r} is no address and no network: write 10.0.0.7 or 10.0.0.0/24") from None
            if network.prefixlen == 0:
                raise ValueError(f"{each!r} is everybody: write the addresses of the proxies")
        return proxies

    @field_validator("base_path")
    @classmethod
    def _refuse_no_path(cls, path: str) -> str:
        if path and not _BASE_PATH.fullmatch(path.rstrip("/")):
            raise ValueError(f"{path!r} is no path: write /rollouts")
        return path.rstrip("/")

    @field_validator("public_url")
    @classmethod
    def _refuse_unsafe_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        host = host_of(url)
        parts = urlsplit(url if host else "")
        if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment or parts.username:
            raise ValueError("is no address of pages: write https://HOST, with the base path behind it if there is one")
        if parts.scheme == "http" and not is_loopback(host):
            raise ValueError("would have people sign in in the clear: write https")
        return url.rstrip("/")

    @field_validator("link_secret")
    @classmethod
    def _refuse_weak_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value()) < _SECRET_CHARACTERS:
            raise ValueError(
                f"is shorter than {_SECRET_CHARACTERS} characters: write what this prints: openssl rand -base64 32"
            )
        return secret

    @field_validator("hosts")
    @classmethod
    def _refuse_no_name(cls, hosts: str) -> str:
        for each in _listed(hosts):
            if not _HOST.fullmatch(each):
                raise ValueError(f"{each!r} is no host name: write names without a scheme or a port")
        return hosts.lower()


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (each.strip().lower() for each in text.split(","))))
