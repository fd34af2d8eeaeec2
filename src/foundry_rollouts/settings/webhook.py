"""Whom we tell what happens: one receiver of messages, or nobody."""

import binascii
from base64 import b64decode
from datetime import timedelta
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from foundry_rollouts.addresses import host_of, is_loopback

_SECRET_PREFIX = "whsec_"  # noqa: S105 - the form of a secret, not one
_SECRET_BYTES = 24


class WebhookSettings(BaseModel):
    """Where messages go, how they are signed, and how long a receiver that is away is waited for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Many an address of this kind lets everybody in who knows it: what is said never repeats it.
    url: str | None = Field(
        default=None,
        repr=False,
        description="Where each event is posted as a CloudEvent. Plain http is refused unless the address is loopback.",
        json_schema_extra={"shown": "nobody is notified"},
    )
    secret: SecretStr | None = Field(
        default=None,
        repr=False,
        description="Signs what is posted, as Standard Webhooks says: `whsec_` and at least 24 random bytes in base64.",
        json_schema_extra={"shown": "not signed"},
    )
    timeout_seconds: float = Field(
        default=10, ge=0.1, le=60, description="How long the receiver may take to confirm a message."
    )
    give_up_hours: float = Field(
        default=24, ge=0.01, le=720, description="How long after an event its message is retried."
    )

    @property
    def key(self) -> bytes | None:
        """What to sign with."""
        return _key(self.secret.get_secret_value()) if self.secret else None

    @property
    def timeout(self) -> timedelta:
        return timedelta(seconds=self.timeout_seconds)

    @property
    def patience(self) -> timedelta:
        return timedelta(hours=self.give_up_hours)

    @field_validator("url")
    @classmethod
    def _refuse_unsafe_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        host = host_of(url)
        parts = urlsplit(url if host else "")
        if parts.scheme not in {"http", "https"} or not host:
            raise ValueError("is no address to post to: write https://HOST/PATH")
        if parts.username or parts.password or parts.fragment:
            raise ValueError("holds a login or '#', which are not sent: write https://HOST/PATH")
        if parts.scheme == "http" and not is_loopback(host):
            raise ValueError("would send messages in the clear: write https")
        return url

    @field_validator("secret")
    @classmethod
    def _refuse_weak_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(_key(secret.get_secret_value()) or b"") < _SECRET_BYTES:
            raise ValueError(
                f"is not {_SECRET_PREFIX} and at least {_SECRET_BYTES} bytes in base64: "
                f'write what this prints: echo "{_SECRET_PREFIX}$(openssl rand -base64 32)"'
            )
        return secret

    @model_validator(mode="after")
    def _refuse_secret_for_nobody(self) -> "WebhookSettings":
        if self.secret is not None and self.url is None:
            raise ValueError("has a secret and no address to post to: write its URL too")
        return self


def _key(secret: str) -> bytes | None:
    if not secret.startswith(_SECRET_PREFIX):
        return None
    try:
        return b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error:
        return None
