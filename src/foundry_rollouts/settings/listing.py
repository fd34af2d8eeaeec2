"""The settings as documentation shows them."""

from typing import NamedTuple

from pydantic.fields import FieldInfo

from foundry_rollouts.settings.database import leaves, variable
from foundry_rollouts.settings.fields import Settings


class Setting(NamedTuple):
    """One line of the reference; ``default`` is None when the setting must be given."""

    variable: str
    default: str | None
    meaning: str


def reference() -> list[Setting]:
    """Return every setting as documentation shows it, the required one first."""
    lines = [_setting(path, field) for path, field in leaves(Settings)]
    return sorted(lines, key=lambda line: line.default is not None)


def _setting(path: tuple[str, ...], field: FieldInfo) -> Setting:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    default = None if extra.get("required") else str(extra.get("shown") or field.default)
    return Setting(variable(*path), default, field.description or "")
