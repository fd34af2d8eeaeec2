"""Every table of the schema: ``metadata`` has them all, wherever they are declared."""

from foundry_rollouts.store import brake_table, notice_tables, people_tables, tables

__all__ = ["brake_table", "metadata", "notice_tables", "people_tables", "tables"]

metadata = tables.metadata
