"""Reading the settings, and saying what is wrong with them, a line per problem.

A variable that nobody knows is refused: a misspelt setting must not leave a default in force unnoticed.
"""

import os
import re
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsError

from foundry_rollouts.errors import UsageError
from foundry_rollouts.settings.database import (
    ENDPOINT_FORM,
    PREFIX,
    SECRETS_DIR,
    TOML_FILE,
    DatabaseSettings,
    leaves,
    variable,
)
from foundry_rollouts.settings.fields import Settings

#: Variables with our prefix that are no settings of the service.
_OTHERS = frozenset({SECRETS_DIR, f"{PREFIX}SERVER", f"{PREFIX}TOKEN", f"{PREFIX}TOKEN_FILE"})
#: Kubernetes sets these in every pod beside a Service named foundry-rollouts.
_SERVICE_LINK = re.compile(rf"{PREFIX}(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")

_BOUNDS = {"ge": "at least", "le": "at most"}

_SETTINGS = dict(leaves(Settings))

AnySettings = TypeVar("AnySettings", bound=BaseSettings)


def load(**overrides: Any) -> Settings:
    """Return the settings; ``overrides`` that are None count as absent. Raises UsageError, a line per problem."""
    unknown = _unknown_variables(os.environ)
    try:
        settings = _read(Settings, overrides)
    except UsageError as error:
        unknown += [str(error)] if str(error) else []
    if unknown:
        raise UsageError("\n".join(unknown))
    return settings


def load_database_url(override: str | None = None) -> str:
    """Return the database's address alone. Raises UsageError."""
    return _read(DatabaseSettings, {"database_url": override}).database_url


def _read(kind: type[AnySettings], overrides: dict[str, Any]) -> AnySettings:
    given = {name: value for name, value in overrides.items() if value is not None}
    folder = os.environ.get(SECRETS_DIR) or None
    if folder and not Path(folder).is_dir():
        raise UsageError(f"{SECRETS_DIR}: there is no folder {folder!r}: make it, or unset the variable")
    try:
        return kind(_secrets_dir=folder, **given)
    except ValidationError as error:
        problems = [each for each in error.errors(include_url=False) if not _is_unknown_variable(each)]
        raise UsageError("\n".join(_line(each) for each in problems)) from None
    except SettingsError as error:
        raise UsageError(f"{error}: write one variable for each setting of the group") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{TOML_FILE}: this is not TOML, {error}: fix that line") from None
    except OSError as error:
        raise UsageError(f"{error.filename}: cannot be read, {error.strerror}: fix its permissions") from None


def _line(error: ErrorDetails) -> str:
    if not error["loc"]:
        return error["msg"].removeprefix("Value error, ")
    path = tuple(map(str, error["loc"]))
    named = variable(*path)
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return f"{named}: is not set: write {ENDPOINT_FORM}"
        case "extra_forbidden":
            name = ".".join(path)
            return f"{TOML_FILE}: {name}: there is no such setting{_hint(name, map('.'.join, _SETTINGS))}"
        case "value_error":
            return "\n".join(f"{named}: {line}" for line in error["msg"].removeprefix("Value error, ").splitlines())
        case "model_type":
            how = f"its settings one by one, as lines under [{named.removeprefix(PREFIX).lower()}]"
        case "literal_error":
            how = str(context["expected"]).replace("'", "")
        case "greater_than_equal" | "less_than_equal":
            how = " ".join(f"{word} {context[key]:g}" for key, word in _BOUNDS.items() if key in context)
        case _:
            how = error["msg"].removeprefix("Input should be ").partition(",")[0]
    return f"{named}: {_shown(path, error['input'])} is not valid: write {how}"


def _shown(path: tuple[str, ...], value: object) -> str:
    """Return ``value`` as it may be said: what may hold a secret is not repeated."""
    field = _SETTINGS.get(path)
    return repr(value) if field is not None and field.repr else "what is there"


def _unknown_variables(environment: Iterable[str]) -> list[str]:
    known = {variable(*path) for path in _SETTINGS}
    return [
        f"{name}: there is no such setting{_hint(name, known, PREFIX)}"
        for name in sorted(environment)
        if name.startswith(PREFIX) and name not in known | _OTHERS and not _SERVICE_LINK.fullmatch(name)
    ]


def _is_unknown_variable(error: ErrorDetails) -> bool:
    """Whether the environment is to blame for an invalid name, which is reported already."""
    return error["type"] == "extra_forbidden" and variable(*map(str, error["loc"])) in os.environ


def _hint(name: str, known: Iterable[str], prefix: str = "") -> str:
    close = get_close_matches(name.removeprefix(prefix), [each.removeprefix(prefix) for each in known], n=1)
    how = f"did you mean {prefix}{close[0]}?" if close else "unset it, `foundry-rollouts serve --help` lists all"
    return f": {how}"
