"""The bare pipeline and its halves: pages newest first into Arrow files, each file by COPY BINARY. No checks, no state.

    python -m bench.reference copy | read | fetch FOLDER | load FOLDER

`read` throws away what it reads, `fetch` keeps the files and `load` loads them. The servers come from the same
TAP_MSSQL_* and TARGET_POSTGRES_* variables that Paralelo takes, the table's name from BENCH_TABLE, the rows of a page
from BENCH_PAGE_ROWS; the table made is of the same name in the schema bench_reference.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from bench.growth import connect

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

    import mssql_python
    import psycopg

PAGE_ROWS = "BENCH_PAGE_ROWS"
# Measured: pages of 25,000 rows were a tenth slower, and so is a process that loads everything anew. Pages of 100,000
# were no faster.
BEST_PAGE_ROWS, BATCH_ROWS, PAGES_AHEAD = 50_000, 8_192, 4
SCHEMA = "bench_reference"
PLAIN_TYPES = {pa.int16(): "smallint", pa.int32(): "integer", pa.int64(): "bigint", pa.date32(): "date"}


def source() -> mssql_python.Connection:
    """A connection to the source. Each half loads only what it needs, as each is a process."""
    import mssql_python

    e = os.environ
    return mssql_python.connect(
        f"SERVER={e['TAP_MSSQL_HOST']},{e['TAP_MSSQL_PORT']};UID={e['TAP_MSSQL_USER']};PWD={e['TAP_MSSQL_PASSWORD']};"
        f"DATABASE={e['TAP_MSSQL_DATABASE']};Encrypt=yes;TrustServerCertificate=yes;"
    )


def pages() -> Iterator[list[pa.RecordBatch]]:
    """The source table's pages, from the highest key down."""
    cursor, below, table = source().cursor(), 2**62, os.environ["BENCH_TABLE"]
    rows = int(os.environ.get(PAGE_ROWS, BEST_PAGE_ROWS))
    while True:
        cursor.execute(f"SELECT TOP {rows} * FROM dbo.{table} WHERE id < {below} ORDER BY id DESC")
        page = [batch for batch in cursor.arrow_reader(batch_size=BATCH_ROWS) if batch.num_rows]
        if not page:
            return
        below = page[-1].column(0)[-1].as_py()
        yield page


def fetch(folder: Path) -> Iterator[Path]:
    """Each page as an Arrow file."""
    for number, page in enumerate(pages()):
        path = folder / f"{number:06}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, page[0].schema) as writer:
            for batch in page:
                writer.write_batch(batch)
        yield path


def load(paths: Iterable[Path], remove: bool) -> int:
    """COPY each file into the table made anew, a transaction a file; returns the rows."""
    import pgpq

    table = f"{SCHEMA}.{os.environ['BENCH_TABLE']}"
    rows, made, connection = 0, False, connect(os.environ)
    for path in paths:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        if not made:
            _create(connection, table, reader.schema)
            made = True
        encoder = pgpq.ArrowToPostgresBinaryEncoder(reader.schema)
        with connection.cursor().copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(encoder.write_header())
            for index in range(reader.num_record_batches):
                batch = reader.get_batch(index)
                copy.write(encoder.write_batch(batch))
                rows += batch.num_rows
            copy.write(encoder.finish())
        connection.commit()
        if remove:
            path.unlink()
    return rows


def _create(connection: psycopg.Connection, table: str, schema: pa.Schema) -> None:
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    connection.execute(f"DROP TABLE IF EXISTS {table}")
    connection.execute(f"CREATE TABLE {table} ({columns_of(schema)})")


def columns_of(schema: pa.Schema) -> str:
    """The columns of the table that is made, as CREATE TABLE takes them."""
    return ", ".join(f'"{field.name.lower()}" {_type(field.type)}' for field in schema)


def source_schema() -> pa.Schema:
    """The Arrow schema of the source's table, asked without a row."""
    cursor = source().cursor()
    cursor.execute(f"SELECT TOP 0 * FROM dbo.{os.environ['BENCH_TABLE']}")
    return cursor.arrow_reader().schema


def _type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"numeric({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        return "timestamp"
    return PLAIN_TYPES.get(kind, "varchar")


def _fetch_all(folder: Path, queue: Queue[Path | None]) -> None:
    try:
        for path in fetch(folder):
            queue.put(path)
    finally:
        queue.put(None)


def copy() -> int:
    """Both halves at once, a process each; returns the rows. Raises RuntimeError where the reader failed."""
    context = multiprocessing.get_context("fork")
    queue: Queue[Path | None] = context.Queue(PAGES_AHEAD)
    with tempfile.TemporaryDirectory() as folder:
        reader = context.Process(target=_fetch_all, args=(Path(folder), queue))
        reader.start()
        rows = load(iter(queue.get, None), remove=True)
        reader.join()
    if reader.exitcode:
        raise RuntimeError(f"the reader ended with {reader.exitcode}")
    return rows


def main() -> None:
    verb = sys.argv[1]
    if verb == "copy":
        rows = copy()
    elif verb == "read":
        rows = sum(batch.num_rows for page in pages() for batch in page)
    elif verb == "fetch":
        folder = Path(sys.argv[2])
        folder.mkdir(parents=True, exist_ok=True)
        rows = sum(pa.ipc.open_file(str(path)).num_record_batches for path in fetch(folder))
    else:
        rows = load(sorted(Path(sys.argv[2]).glob("*.arrow")), remove=False)
    print(rows)


if __name__ == "__main__":
    main()
