"""What survives a restart: one small SQLite file of JSON documents, written as they change.

A record is on disk before its answer leaves, so an emulator that is killed forgets nothing it has confirmed.
"""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SCHEMA = "CREATE TABLE IF NOT EXISTS records (kind TEXT, id TEXT, doc TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID"
_WRITE = "INSERT INTO records VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET doc = excluded.doc"


class Snapshot:
    """Documents by kind and id, an id being a tuple of names; raise ``sqlite3.OperationalError`` when taken."""

    def __init__(self, file: Path | None) -> None:
        self._database = sqlite3.connect(file or ":memory:", timeout=0.5, isolation_level=None, check_same_thread=False)
        # Two emulators over one memory would each forget what the other confirmed.
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._database.execute("PRAGMA journal_mode = WAL")
        # The state must outlive this process, not a power cut: no fsync per change.
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(_SCHEMA)

    def write(self, kind: str, key: tuple[str, ...], document: dict[str, Any]) -> None:
        """Keep a document in place of the earlier one of the same kind and id."""
        self._database.execute(_WRITE, (kind, "\x1f".join(key), json.dumps(document)))

    def erase(self, kind: str, key: tuple[str, ...]) -> None:
        """Forget one document."""
        self._database.execute("DELETE FROM records WHERE kind = ? AND id = ?", (kind, "\x1f".join(key)))

    def documents(self, kind: str) -> Iterator[dict[str, Any]]:
        """Yield every document of a kind."""
        for (document,) in self._database.execute("SELECT doc FROM records WHERE kind = ?", (kind,)):
            yield json.loads(document)

    def clear(self) -> None:
        """Forget everything."""
        self._database.execute("DELETE FROM records")

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()
