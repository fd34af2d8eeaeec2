"""What every command with a database needs, where settings come from, and what they are called there."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

PREFIX = "FOUNDRY_ROLLOUTS_"
DELIMITER = "__"  #: Between the name of a group of settings and one of its settings.
TOML_FILE = "foundry-rollouts.toml"
SECRETS_DIR = f"{PREFIX}SECRETS_DIR"  #: The folder of secret files; a variable only, for it says where the files are.
ENDPOINT_ALIAS = "FOUNDRY_PROJECT_ENDPOINT"
OLD_ENDPOINT_ALIAS = "AZURE_AI_PROJECT_ENDPOINT"  #: What environments of azd had before.
ENDPOINT_FORM = "https://ACCOUNT.services.ai.azure.com/api/projects/PROJECT"


class DatabaseSettings(BaseSettings):
    """Where the history lives: all that the ``db`` commands need."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=DELIMITER, env_ignore_empty=True, extra="ignore", frozen=True
    )

    database_url: str = Field(
        default="sqlite:///foundry-rollouts.db",
        repr=False,
        description="`sqlite:///FILE`, or `postgresql://USER:PASSWORD@HOST/NAME` for more than one replica.",
    )

    @field_validator("database_url")
    @classmethod
    def _refuse_other_databases(cls, url: str) -> str:
        # What is said never repeats the address: it may hold a password.
        scheme, _, rest = url.partition("://")
        if scheme.startswith(("sqlite+", "postgresql+")):
            raise ValueError(f"names a driver, which the project chooses: write {scheme.partition('+')[0]}://")
        if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1 and ":memory:" not in rest:
            return url
        if scheme == "postgresql" and rest:
            return url
        raise ValueError("is not a database for the history: write sqlite:///FILE or postgresql://HOST/NAME")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, secret files, TOML file: the first that has a value counts."""
        endpoint = os.environ.get(ENDPOINT_ALIAS) or os.environ.get(OLD_ENDPOINT_ALIAS)
        return (
            init_settings,
            env_settings,
            InitSettingsSource(settings_cls, {"project_endpoint": endpoint} if endpoint else {}),
            file_secret_settings,
            InitSettingsSource(settings_cls, _grouped_secrets(settings_cls, file_secret_settings)),
            TomlConfigSettingsSource(settings_cls, toml_file=TOML_FILE),
        )


def leaves(model: type[BaseModel], *above: str) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Yield each setting of ``model`` with its path: one word, or two for one of a group."""
    for name, field in model.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            yield from leaves(group, *above, name)
        else:
            yield (*above, name), field


def variable(*path: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + DELIMITER.join(path).upper()


def _grouped_secrets(model: type[BaseModel], secrets: PydanticBaseSettingsSource) -> dict[str, Any]:
    """Return what the secrets folder holds for groups of settings, which the library does not read."""
    folder = getattr(secrets, "secrets_dir", None)
    found: dict[str, Any] = {}
    if folder is None:
        return found
    for path, _ in leaves(model):
        file = SecretsSettingsSource.find_case_path(Path(folder), variable(*path), case_sensitive=False)
        if len(path) > 1 and file is not None and file.is_file():
            found.setdefault(path[0], {})[path[1]] = file.read_text("utf-8").strip()
    return found
