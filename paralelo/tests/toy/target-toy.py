"""A target that writes nothing but the ledger: a sync, a batch for each page, and its activation at the end."""

import json
import os
import sys

import psycopg

ROWS = 100


def main():
    with psycopg.connect(
        host=os.environ["TARGET_POSTGRES_HOST"],
        port=os.environ["TARGET_POSTGRES_PORT"],
        user=os.environ["TARGET_POSTGRES_USER"],
        password=os.environ["TARGET_POSTGRES_PASSWORD"],
        dbname=os.environ["TARGET_POSTGRES_DATABASE"],
        autocommit=True,
    ) as connection:
        sync = begin(connection)
        for line in sys.stdin:
            state = json.loads(line)["value"]
            page = state["bookmarks"]["dbo-toy"]["page"]
            # A page that was committed, and its state not saved, comes again.
            added = connection.execute(
                "INSERT INTO paralelo.batch (sync_id, batch, rows, written, rejected, xact_id)"
                " VALUES (%s, %s, %s, %s, 0, pg_current_xact_id()) ON CONFLICT DO NOTHING",
                [sync, page, ROWS, ROWS],
            ).rowcount
            connection.execute(
                "UPDATE paralelo.sync SET rows_read = rows_read + %s, rows_written = rows_written + %s,"
                " updated_at = now() WHERE id = %s",
                [ROWS * added, ROWS * added, sync],
            )
            print(json.dumps(state), flush=True)
        if pages(connection, sync) < int(os.environ.get("TOY_PAGES", "3")):
            sys.exit(0)
        connection.execute(
            "UPDATE paralelo.sync SET status = 'activated', ended_at = now(), updated_at = now(), rows_unchanged = 0,"
            " rows_stale = 0 WHERE id = %s",
            [sync],
        )
    sys.exit(int(os.environ.get("TOY_TARGET_EXIT", "0")))


def begin(connection):
    row = connection.execute("SELECT id FROM paralelo.sync WHERE table_name = 'toy' AND status = 'staging'").fetchone()
    if row:
        return row[0]
    estimate = ROWS * int(os.environ.get("TOY_PAGES", "3"))
    return connection.execute(
        "INSERT INTO paralelo.sync (table_schema, table_name, stream, mode, version, started_at, status, estimate)"
        " VALUES ('public', 'toy', 'dbo-toy', 'full', 1, now(), 'staging', %s) RETURNING id",
        [estimate],
    ).fetchone()[0]


def pages(connection, sync):
    return connection.execute("SELECT count(*) FROM paralelo.batch WHERE sync_id = %s", [sync]).fetchone()[0]


try:
    main()
except psycopg.OperationalError as error:
    print(error, file=sys.stderr)
    sys.exit(4)
