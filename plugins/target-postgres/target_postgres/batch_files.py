"""Batch files read: Arrow by memory map, Parquet and JSON lines by way of the SDK's storage."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlparse
from urllib.request import url2pathname

import pyarrow as pa
import pyarrow.parquet as pq
from singer_sdk.helpers._batch import StorageTarget
from sync_rules.batch_info import BatchInfo
from sync_rules.exits import SyncError

from target_postgres.encode import loads
from target_postgres.names import fold


def path_of(address: str) -> Path:
    """The local file behind a `file://` address or a plain path. Raises SyncError for any other kind of address."""
    parts = urlparse(address)
    if parts.scheme not in ("", "file"):
        raise SyncError(f"an Arrow batch is at a {parts.scheme} address; it must be a file of this machine")
    return Path(url2pathname(parts.path) if parts.scheme else address)


@contextmanager
def arrow(path: Path) -> Iterator[tuple[pa.Table, BatchInfo | None]]:
    """The rows of an Arrow IPC file, columns by their names in the database, and what the file says of itself.

    Nothing is read before it is needed. Raises SyncError for a file that is not there or not whole.
    """
    with ExitStack() as stack:
        try:
            reader = pa.ipc.open_file(stack.enter_context(pa.memory_map(str(path))))
            found = _folded(reader.read_all()), BatchInfo.read_from(reader.schema)
        except (FileNotFoundError, pa.ArrowInvalid, ValueError) as error:
            raise SyncError(f"the batch file {path.name} cannot be read: {_first_line(error)}") from error
        # What fails from here on is not the file's fault, and Arrow's words may repeat a value.
        yield found


def parquet(address: str) -> pa.Table:
    """The rows of a Parquet file. Raises SyncError for one that cannot be read."""
    with _readable(address), _opened(address) as file:
        return _folded(pq.read_table(file))


def json_lines(address: str, compression: str | None) -> Iterator[Mapping[str, Any]]:
    """The records of a file of JSON lines, compressed or not. Raises SyncError for one that cannot be read."""
    with _readable(address), _opened(address, compression) as file:
        for line in file:
            if line.strip():
                record = loads(line.decode())
                if not isinstance(record, dict):
                    raise ValueError("a line is not a JSON object")
                yield record


@contextmanager
def _readable(address: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, ImportError, ValueError, RecursionError, pa.ArrowException, zlib.error) as error:
        name = address.rpartition("/")[2]
        raise SyncError(f"the batch file {name} cannot be read: {_first_line(error)}") from error


@contextmanager
def _opened(address: str, compression: str | None = None) -> Iterator[IO[bytes]]:
    folder, name = StorageTarget.split_url(address)
    with StorageTarget.from_url(folder).open(name, mode="rb") as file:
        if compression == "gzip":
            with gzip.open(file) as unpacked:
                yield cast("IO[bytes]", unpacked)
        else:
            yield file


def _folded(table: pa.Table) -> pa.Table:
    return table.rename_columns([fold(name) for name in table.column_names])


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
