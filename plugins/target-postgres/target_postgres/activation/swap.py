"""Activation by rename: the staging table, ready beside it, takes the live table's place in a short transaction."""

from __future__ import annotations

import time

import psycopg
from psycopg import sql
from sync_rules.exits import TableInUse

from target_postgres import catalog, ledger
from target_postgres.activation import dependents
from target_postgres.activation.indexes import BuiltIndex, IndexDefinition, definitions, trusted
from target_postgres.activation.locking import with_short_locks
from target_postgres.catalog import LiveTable
from target_postgres.connection import Connection, look_as_the_role_does
from target_postgres.job import Job
from target_postgres.ledger import Sync
from target_postgres.queries import query
from target_postgres.shape import changes


class Unswappable(Exception):
    """Something came to depend on the live table, or changed on it, since the swap was prepared."""


def wait_for_snapshots(connection: Connection, job: Job, xact: str) -> None:
    """Wait until no transaction is left that began before the staged rows were complete.

    Such a transaction, in REPEATABLE READ, would find the new table under the old name and see a part of its rows: the
    rows are committed batch by batch, and its snapshot is older than some. Raises TableInUse when one is left after
    `snapshot_wait_seconds`.
    """
    started = time.monotonic()
    while (row := connection.execute(query("dependents.old_snapshots"), {"xact": xact}).fetchone()) is not None:
        if time.monotonic() - started >= job.settings.snapshot_wait_seconds:
            raise TableInUse(
                f"{job.live}: the transaction of backend {row[0]} began before the staged rows were complete and would"
                " see a part of them (snapshot_wait_seconds); what is staged is kept: run again when it has ended"
            )
        time.sleep(0.1)


def swap(connection: Connection, job: Job, sync: Sync, indexes: list[BuiltIndex], signature: str | None) -> None:
    """Give the staging table the live one's name and properties, and drop that one, in one transaction.

    A reader that waits for the lock looks the name up again when it gets it, and finds the new table; one that has the
    lock is waited for. Raises Unswappable when something changed since it was prepared.
    """
    assert sync.staging is not None
    staging = sync.staging

    def work() -> None:
        after: list[sql.SQL] = []
        of_sequences: list[sql.SQL] = []
        if signature is not None:
            try:
                connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(job.live.sql))
            except psycopg.errors.UndefinedTable:
                raise Unswappable from None
        live = catalog.describe(connection, job.live)
        if live is not None:
            _check_unchanged(connection, job, live, staging, signature)
            # Read before it is looked around as the role does: every name in them has its schema.
            after = _inheritance(connection, live, staging, "grants", "properties")
            of_sequences = _inheritance(connection, live, staging, "identities")
        look_as_the_role_does(connection)
        if live is not None:
            _give_owner(connection, live, staging)
            after += [*_move_sequences(connection, live, staging), *of_sequences]
            connection.execute(sql.SQL("DROP TABLE {}").format(job.live.sql))
        connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(staging.sql, sql.Identifier(job.live.table)))
        for index in indexes:
            _rename_index(connection, job, index)
        if live is not None:
            revoked = connection.execute(
                query("inherit.revokes"), {"schema": job.live.schema, "table": job.live.table, "of_owner": True}
            ).fetchall()
            # First nobody has any right, then those who had one before.
            for statement in [*(trusted(text) for (text,) in revoked), *after]:
                connection.execute(statement)
        ledger.end(connection, sync, "activated", "swap", job.settings.ledger_keep_days)

    with_short_locks(connection, job.settings, str(job.live), work)


def _check_unchanged(
    connection: Connection, job: Job, live: LiveTable, staging: catalog.TableName, signature: str | None
) -> None:
    plan = changes(live.columns, job.columns, str(job.live))
    if (
        dependents.obstacles(connection, live, plan)
        or dependents.unlike(connection, job, live, staging, plan)
        or signature_of(live, definitions(connection, live.oid)) != signature
    ):
        raise Unswappable


def signature_of(live: LiveTable, indexes: list[IndexDefinition]) -> str:
    """What a swap was prepared for: the live table's columns and indexes."""
    return repr((live.oid, live.columns, indexes))


def _give_owner(connection: Connection, live: LiveTable, staging: catalog.TableName) -> None:
    """The owner first: sequences change hands only within one owner's tables, and a new owner rewrites rights."""
    row = connection.execute(query("inherit.owner"), {"oid": live.oid}).fetchone()
    assert row is not None
    connection.execute(sql.SQL("ALTER TABLE {} OWNER TO {}").format(staging.sql, sql.Identifier(row[0])))


def _inheritance(connection: Connection, live: LiveTable, staging: catalog.TableName, *kinds: str) -> list[sql.SQL]:
    """The statements that give the new table what the old one has."""
    parameters = {"oid": live.oid, "staging": staging.sql.as_string(connection)}
    found = [text for name in kinds for (text,) in connection.execute(query(f"inherit.{name}"), parameters).fetchall()]
    return [trusted(text) for text in found]


def _move_sequences(connection: Connection, live: LiveTable, staging: catalog.TableName) -> list[sql.SQL]:
    """Sequences beside serial columns change hands; those inside identity columns hand over their value and name."""
    after: list[sql.SQL] = []
    for schema, name, attribute, identity in connection.execute(
        query("activation.sequences"), {"oid": live.oid}
    ).fetchall():
        sequence = sql.Identifier(schema, name)
        if not identity:
            owner = sql.Identifier(staging.schema, staging.table, attribute)
            connection.execute(sql.SQL("ALTER SEQUENCE {} OWNED BY {}").format(sequence, owner))
            continue
        new = connection.execute(
            "SELECT pg_get_serial_sequence(%s, %s)", [staging.sql.as_string(connection), attribute]
        ).fetchone()
        assert new is not None
        connection.execute(
            sql.SQL("SELECT setval({}::text::regclass, last_value, is_called) FROM {}").format(
                sql.Literal(new[0]), sequence
            )
        )
        text = sql.SQL("ALTER SEQUENCE {} RENAME TO {}").format(sql.SQL(new[0]), sql.Identifier(name))
        after.append(trusted(text.as_string(connection)))
    return after


def _rename_index(connection: Connection, job: Job, index: BuiltIndex) -> None:
    taken = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = %s)",
        [job.live.schema, index.name],
    ).fetchone()
    if taken == (True,):
        return
    connection.execute(
        sql.SQL("ALTER INDEX {} RENAME TO {}").format(
            sql.Identifier(job.live.schema, index.built_as), sql.Identifier(index.name)
        )
    )
