"""Takes a store's migration back, while nothing new was written."""

from __future__ import annotations

from psycopg import sql

from stores.migration.files import LANDING, Store
from stores.migration.mapping import Connection, in_order
from stores.migration.statements import statement


class NewRows(Exception):
    """The application wrote to the store's tables since: taking the migration back would lose that."""


def roll_back(connection: Connection, store: Store) -> dict[str, int]:
    """Delete what the store's migration wrote, its archive and its landing tables. Returns rows deleted by target.

    One transaction. Raises NewRows.
    """
    deleted: dict[str, int] = {}
    who = {"store": store.name}
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"migrate {store.name}"])
        mapped = [table for table in in_order(store) if table.target is not None]
        for name in dict.fromkeys(table.target for table in mapped if table.target):
            target = sql.Identifier(*name.split("."))
            connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(target))
            touched = connection.execute(statement("ledger.touched", target=target), {**who, "target": name}).fetchone()
            if touched is not None and (touched[0] or touched[1]):
                raise NewRows(
                    f"{store.name}: {name} was written to since ({touched[0]} rows of the migration changed or gone,"
                    f" {touched[1]} new): it is not rolled back"
                )
        for table in reversed(mapped):
            target = sql.Identifier(*(table.target or "").split("."))
            done = connection.execute(statement("ledger.remove_mapped", target=target), {**who, "table": table.name})
            deleted[table.target or ""] = deleted.get(table.target or "", 0) + done.rowcount
        for table in store.tables:
            for schema in ("archive", LANDING):
                kept = sql.Identifier(schema, store.landing_table(table.name))
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(kept))
        connection.execute(statement("ledger.remove_rejected"), who)
        connection.execute(statement("ledger.forget"), who)
    return deleted
