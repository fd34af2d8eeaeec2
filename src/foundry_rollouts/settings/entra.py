"""The organisation's identity provider: whose tokens are taken, and which role each app role gives."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from foundry_rollouts.addresses import host_of, is_loopback
from foundry_rollouts.core.model.access import Role

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ROLES = ",".join(f"Rollouts.{role.value.title()}={role.value}" for role in Role)


class EntraSettings(BaseModel):
    """An app registration in Microsoft Entra ID, or another provider of OpenID Connect by ``authority``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: str | None = Field(
        default=None,
        description="The directory (tenant) id of your organisation in Microsoft Entra ID.",
        json_schema_extra={"shown": "nobody signs in with Entra"},
    )
    client_id: str | None = Field(
        default=None,
        description="The application (client) id of the app registration.",
        json_schema_extra={"shown": "none"},
    )
    client_secret: SecretStr | None = Field(
        default=None,
        repr=False,
        description="The app registration's secret, for the dashboard's sign-in of a confidential client.",
        json_schema_extra={"shown": "none"},
    )
    audience: str | None = Field(
        default=None,
        description="Whom a token must be meant for.",
        json_schema_extra={"shown": "the client id, also after api://"},
    )
    authority: str | None = Field(
        default=None,
        description="The issuer of the tokens. Plain http is refused unless the address is loopback.",
        json_schema_extra={"shown": "https://login.microsoftonline.com/TENANT/v2.0"},
    )
    roles: str = Field(
        default=_ROLES, description="Which role each value of a token's `roles` gives: VALUE=ROLE, with commas between."
    )

    @property
    def is_set(self) -> bool:
        return self.client_id is not None

    @property
    def issuer(self) -> str:
        return self.authority or f"https://login.microsoftonline.com/{self.tenant}/v2.0"

    @property
    def issuers(self) -> tuple[str, ...]:
        """Who may have issued a token: Entra writes its older name into tokens of apps that did not choose."""
        older = () if self.authority else (f"https://sts.windows.net/{self.tenant}/",)
        return (self.issuer, *older)

    @property
    def audiences(self) -> tuple[str, ...]:
        return (self.audience,) if self.audience else (f"{self.client_id}", f"api://{self.client_id}")

    @property
    def granted(self) -> Mapping[str, Role]:
        """The role that each app role gives."""
        return _granted(self.roles)

    @field_validator("tenant")
    @classmethod
    def _refuse_other_tenants(cls, tenant: str | None) -> str | None:
        if tenant is not None and not _GUID.fullmatch(tenant):
            raise ValueError("is not the id of one directory: write its GUID, as the Entra admin center shows it")
        return tenant and tenant.lower()

    @field_validator("authority")
    @classmethod
    def _refuse_unsafe_authority(cls, url: str | None) -> str | None:
        if url is None:
            return None
        host = host_of(url)
        parts = urlsplit(url if host else "")
        if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment or parts.username:
            raise ValueError("is not the address of an issuer: write https://HOST/PATH")
        if parts.scheme == "http" and not is_loopback(host):
            raise ValueError("would fetch the keys of tokens in the clear: write https")
        return url.rstrip("/")

    @field_validator("roles")
    @classmethod
    def _refuse_other_roles(cls, roles: str) -> str:
        _granted(roles)
        return roles

    @model_validator(mode="after")
    def _refuse_half(self) -> "EntraSettings":
        if (self.client_id is None) != (self.tenant is None and self.authority is None):
            raise ValueError("is set by half: write TENANT (or AUTHORITY) and CLIENT_ID")
        return self


def _granted(roles: str) -> dict[str, Role]:
    granted = {}
    for entry in filter(None, map(str.strip, roles.split(","))):
        value, _, role = entry.rpartition("=")
        if not value or role not in set(Role):
            raise ValueError(f"{entry!r} is not VALUE=ROLE with a role of {', '.join(Role)}")
        granted[value.strip()] = Role(role)
    return granted
