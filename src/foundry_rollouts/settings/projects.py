"""Several projects under one controller: what ``FOUNDRY_ROLLOUTS_PROJECTS`` holds, and what is wrong with it.

The setting is the path of a YAML or JSON file, or the JSON itself: a project's name, and its settings. Nothing that
is said of a mistake repeats an address or any other value that may hold a secret.
"""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from foundry_rollouts.addresses import host_of, is_loopback, project_of
from foundry_rollouts.policies.given import text_of
from foundry_rollouts.settings.database import ENDPOINT_FORM
from foundry_rollouts.settings.endpoints import endpoint_of

CredentialName = Literal["default", "emulator"]

#: A name stands before the slash in ``project/agent``, in addresses and in labels of metrics.
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_KEYS = ("endpoint", "credential", "policies")
_CREDENTIALS = ("default", "emulator")
_FORM = '{"NAME": {"endpoint": "' + ENDPOINT_FORM + '"}}'


class Project(NamedTuple):
    """One project that is watched; without a name its agents have their plain names."""

    name: str
    endpoint: str
    credential: CredentialName = "default"
    policies: Path | None = None  #: None: those of all projects.

    @property
    def identity(self) -> str:
        """What tells the project from others, whatever it is called here."""
        return project_of(self.endpoint)


def is_name(name: str) -> bool:
    """Whether a project may be called so."""
    return _NAME.fullmatch(name) is not None


def projects_of(given: object) -> tuple[Project, ...]:
    """Return the projects of a path, of JSON or of a table. Raises ValueError, a line for each mistake."""
    written, folder = _written(given)
    if not isinstance(written, Mapping):
        raise ValueError(f"this is no table of projects: write {_FORM}")  # noqa: TRY004 - pydantic asks for it
    if not written:
        raise ValueError(f"names no project: write {_FORM}, or unset it")
    problems: list[str] = []
    found = [_project(str(name), entry, folder, problems) for name, entry in written.items()]
    problems += _doubled([each for each in found if each is not None])
    if problems:
        raise ValueError("\n".join(problems))
    return tuple(each for each in found if each is not None)


def _written(given: object) -> tuple[object, Path]:
    """Return what is written, and the folder that paths in it start at."""
    if not isinstance(given, str):
        return given, Path()
    text, folder = given.strip(), Path()
    if not text.startswith(("{", "[")):
        text, folder = text_of(Path(text)), Path(text).parent
    return _parsed(text), folder


def _parsed(text: str) -> object:
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "its beginning"
        # What the library says of a key that is there twice repeats both values.
        is_double = isinstance(error, DuplicateKeyError)
        what = "a name stands there twice" if is_double else " ".join(str(error.problem or error.context).split())
        raise ValueError(f"cannot be read at {where}, {what}: fix it there") from None
    except (YAMLError, RecursionError, ValueError) as error:
        raise ValueError(f"is neither YAML nor JSON ({type(error).__name__}): write {_FORM}") from None


def _project(name: str, entry: object, folder: Path, problems: list[str]) -> Project | None:
    """Return one project; None where ``problems`` got a line."""
    before = len(problems)
    if not is_name(name):
        problems.append(
            f"project {name!r}: a name is 1 to 63 small letters, digits and '-', and neither begins nor ends with '-':"
            " choose another"
        )
    if not isinstance(entry, Mapping):
        problems.append(f"project {name!r}: has no settings of its own: write {_FORM}")
        return None
    problems += _unknown(name, entry)
    endpoint = _endpoint(name, entry, problems)
    credential = entry.get("credential", "default")
    if credential not in _CREDENTIALS:
        problems.append(f"project {name!r}: credential: is no kind of login: write default or emulator")
    elif endpoint and credential == "emulator" and not is_loopback(host_of(endpoint)):
        problems.append(f"project {name!r}: credential: 'emulator' is for a loopback endpoint only: write default")
    policies = entry.get("policies")
    if policies is not None and (not isinstance(policies, str) or not policies.strip()):
        problems.append(f"project {name!r}: policies: is no path: write that of a file or folder, or leave it out")
    if len(problems) > before:
        return None
    own = folder / cast("str", policies) if policies is not None else None
    return Project(name, endpoint, cast("CredentialName", credential), own)


def _unknown(name: str, entry: Mapping[Any, Any]) -> Iterator[str]:
    for key in entry:
        if key not in _KEYS:
            close = get_close_matches(str(key), _KEYS, n=1)
            how = f"did you mean {close[0]}?" if close else f"known are {', '.join(_KEYS)}"
            yield f"project {name!r}: {str(key)!r} is no setting of a project: {how}"


def _endpoint(name: str, entry: Mapping[Any, Any], problems: list[str]) -> str:
    """Return the address of a project; empty where ``problems`` got a line."""
    try:
        return endpoint_of(str(entry["endpoint"] or ""), is_shown=False)
    except KeyError:
        problems.append(f"project {name!r}: endpoint: is not set: write {ENDPOINT_FORM}")
    except ValueError as error:
        problems.append(f"project {name!r}: endpoint: {error}")
    return ""


def _doubled(found: list[Project]) -> Iterator[str]:
    """Yield a line for each project that another name is for: its agents would be rolled out twice."""
    first: dict[str, str] = {}
    for each in found:
        if (owner := first.setdefault(each.identity, each.name)) != each.name:
            yield f"project {each.name!r}: endpoint: is that of project {owner!r}, too: keep one of them"
