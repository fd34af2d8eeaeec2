"""Releases other than the one under test: earlier ones out of their archives, and one that comes next."""

import asyncio
import os
import shutil
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from foundry_rollouts.store import schema
from tools.repository import PACKAGE, ROOT

ARCHIVES = sorted((ROOT / "tests" / "migrations" / "releases").glob("*.tar.xz"))
#: Those that the database was upgraded since.
OLDER = [archive for archive in ARCHIVES if archive.name[:4] < schema.newest()]

#: What a next release might add: a table that points to rollouts, and columns in tables that are there.
NEXT = "9001"
MIGRATION = f'''"""Notes on rollouts."""

import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{schema.newest()}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "notes",
        sa.Column("rollout", sa.Text(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_notes_rollout_rollouts"),
        sa.PrimaryKeyConstraint("rollout", name="pk_notes"),
    )
    op.add_column("rollouts", sa.Column("colour", sa.Text(), nullable=True))
    op.add_column("events", sa.Column("loudness", sa.Integer(), nullable=False, server_default="1"))
'''
TABLES = """
notes = Table("notes", metadata, _rollout_column(primary_key=True), Column("said", PlainText, nullable=False))
rollouts.append_column(Column("colour", PlainText))
events.append_column(Column("loudness", Integer, nullable=False, server_default="1"))
"""


@dataclass(frozen=True, slots=True)
class Release:
    """A release that can be run: where its package lies, and the newest schema that it knows."""

    paths: str
    schema: str

    async def upgrade(self, url: str, folder: Path) -> asyncio.subprocess.Process:
        """Start ``db upgrade`` of this release."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("FOUNDRY_")}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "foundry_rollouts", "db", "upgrade", "--database-url", url),
            cwd=folder,
            env=clean | {"PYTHONPATH": self.paths},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )


def present() -> Release:
    """Return the release under test."""
    return Release(str(PACKAGE.parent), schema.newest())


def earlier(archive: Path, folder: Path) -> Release:
    """Unpack ``archive`` in ``folder``."""
    with tarfile.open(archive) as packed:
        # Pythons before 3.11.4 know no filters and pay no heed to this.
        packed.extraction_filter = getattr(tarfile, "data_filter", None)
        packed.extractall(folder)
    return Release(str(folder / "src"), archive.name[:4])


def following(folder: Path) -> Release:
    """Write a next release, which has one more migration, in ``folder``."""
    ours = shutil.ignore_patterns("__pycache__")
    package = shutil.copytree(PACKAGE, folder / "src" / PACKAGE.name, ignore=ours)
    versions = shutil.copytree(schema.migrations_folder(), folder / "migrations", ignore=ours) / "versions"
    (versions / f"{NEXT}_notes.py").write_text(MIGRATION, "utf-8")
    with (package / "store" / "tables.py").open("a", encoding="utf-8") as tables:
        tables.write(TABLES)
    return Release(str(folder / "src"), NEXT)
