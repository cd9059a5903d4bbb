"""FreeTDS's bulk copy out to a text file, then the file in by COPY.

Text in a file has no NULL of its own: freebcp writes nothing for NULL and a NUL character for an empty string. The
table made has the source's columns in the types that the text is read as.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pyarrow as pa
from psycopg import sql

from bench.growth import connect
from bench.reference import columns_of, source_schema

FIELD_END, QUOTE = "\x1f", "\x01"
SERVER = "[bench]\n\thost = {host}\n\tport = {port}\n\ttds version = 7.4\n\tclient charset = UTF-8\n"


def main() -> None:
    e = os.environ
    table = e["BENCH_TABLE"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "freetds.conf").write_text(
            SERVER.format(host=e["TAP_MSSQL_HOST"], port=e["TAP_MSSQL_PORT"]), encoding="utf-8"
        )
        rows = folder / "rows"
        schema = source_schema()
        query = f"SELECT {', '.join(map(selected, schema))} FROM {e['TAP_MSSQL_DATABASE']}.dbo.{table}"
        # freebcp takes its password on the command line only.
        out = [
            *("freebcp", query, "queryout", str(rows), "-c", "-t", FIELD_END),
            *("-S", "bench", "-U", e["TAP_MSSQL_USER"], "-P", e["TAP_MSSQL_PASSWORD"]),
        ]
        env = {**e, "FREETDSCONF": str(folder / "freetds.conf")}
        ended = subprocess.run(out, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        sys.stderr.write(ended.stdout[-2000:])
        if ended.returncode:
            sys.exit(ended.returncode)
        with contextlib.closing(connect(e)) as connection:
            load(connection, table, schema, rows)


def selected(column: pa.Field) -> str:
    """A column of the query: moments as text, since FreeTDS cuts digits of a second and of early years."""
    name = f"[{column.name}]"
    return f"CONVERT(varchar(26), {name}, 126)" if pa.types.is_temporal(column.type) else name


def load(connection: psycopg.Connection, table: str, schema: pa.Schema, rows: Path) -> None:
    made = sql.Identifier("bench_freebcp", table)
    connection.execute("CREATE SCHEMA IF NOT EXISTS bench_freebcp")
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(made, sql.SQL(columns_of(schema))))
    take = sql.SQL("COPY {} FROM STDIN (FORMAT csv, DELIMITER {}, QUOTE {}, NULL '')").format(made, FIELD_END, QUOTE)
    with connection.cursor().copy(take) as copy, rows.open("rb") as file:
        while part := file.read(1 << 20):
            # An empty string, which freebcp writes as a NUL: quoted, so that it is no NULL.
            copy.write(part.replace(b"\0", (QUOTE * 2).encode()))
    connection.commit()


if __name__ == "__main__":
    main()
