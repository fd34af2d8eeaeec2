"""WHAT WE REMEMBER: the only room with SQL.

One store for two dialects, SQLite and PostgreSQL. Come in through ``store.py``, which fits ``ports.Store``;
``tables.py`` is the schema, ``record.py`` the transaction that ends a tick, ``schema.py`` the migrations.
"""
