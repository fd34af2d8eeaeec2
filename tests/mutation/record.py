"""The record of changes that no test can notice, each with its reason."""

import tomllib
from collections.abc import Collection
from pathlib import Path

Key = tuple[str, str, str, str]

RECORD = Path(__file__).with_name("survivors.toml")


def recorded(path: Path = RECORD) -> dict[Key, str]:
    """Return the reason of each recorded change; refuses one without."""
    reasons: dict[Key, str] = {}
    for entry in tomllib.loads(path.read_text("utf-8")).get("survivor", []):
        reason = " ".join(entry["reason"].split())
        if not reason:
            raise ValueError(f"{path.name}: {entry['file']} {entry['where']} has no reason")
        for change in entry["changes"]:
            reasons[entry["file"], entry["where"], entry["line"], change] = reason
    return reasons


def complaints(survivors: Collection[Key], all_keys: Collection[Key], reasons: dict[Key, str]) -> list[str]:
    """Return what does not fit: survivors without a reason, reasons without a survivor."""
    tried = {key[0] for key in all_keys}
    told = [f"survives without a reason: {_told(key)}" for key in survivors if key not in reasons]
    for key in reasons:
        if key[0] in tried and key not in all_keys:
            told.append(f"recorded and no longer there: {_told(key)}")
        elif key[0] in tried and key not in survivors:
            told.append(f"recorded and noticed by a test: {_told(key)}")
    return told


def _told(key: Key) -> str:
    file, where, line, change = key
    return f"{file}, {where}: {change}\n    {line}"
