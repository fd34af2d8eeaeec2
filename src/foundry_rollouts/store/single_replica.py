"""SQLite carries one replica: a lock beside the file keeps a second one out, and ends with the process."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from foundry_rollouts.errors import StoreError


@contextmanager
def single_replica_of(url: str) -> Iterator[bool]:
    """Hold the database at ``url`` for this process alone where it is SQLite; yield whether it is.

    Raises StoreError when another replica has it.
    """
    address = make_url(url)
    if address.get_backend_name() != "sqlite":
        yield False
        return
    path = Path(f"{address.database}.lock")
    try:
        file = path.open("a")
    except OSError as error:
        advice = "check that its folder is there and may be written"
        raise StoreError(f"database {address.database}: unable to open database file; {advice}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(
                f"database {address.database} is in use by another replica: "
                "SQLite supports one, use PostgreSQL for more"
            ) from error
        yield True
