"""The connection: read-only, one read transaction, one copy of SQLite.

Everything goes through one driver on purpose. Two copies of SQLite in a process do not know of each other's locks, and
the first to close a file drops the locks of both: a writer could then change pages under a running read.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any
from urllib.parse import quote

import adbc_driver_sqlite.dbapi as sqlite
import pyarrow as pa
from adbc_driver_manager import Error as DriverError
from sync_rules.exits import ConfigurationError, SourceUnreachable, SyncError

_MAGIC = b"SQLite format 3\0"
_BUSY = ("database is locked", "database table is locked", "database schema is locked", "locking protocol")
_BROKEN = ("malformed", "not a database", "disk i/o error", "corrupt")
_REFUSED = ("failed to prepare", "no such ")
"""A table too wide, a view of a table that is gone: it would be refused again."""

_LOWER = {ord(upper): upper.lower() for upper in ascii_uppercase}

Row = tuple[Any, ...]


class Database:
    """One file, as it is at one moment.

    A read transaction is begun with the first statement and held until the end: whatever other processes commit
    meanwhile, this connection goes on seeing the same rows, in WAL mode without standing in their way. In the older
    journal modes a writer has to wait for the end. `immutable` promises that nobody writes, and takes no locks.

    The file is not mapped into memory: where somebody cuts it short a read fails, and a mapped page would kill us.
    """

    def __init__(self, path: str | Path, *, immutable: bool = False, busy_timeout_seconds: float = 60) -> None:
        self.path = Path(path)
        check_file(self.path)
        if immutable:
            _check_nobody_writes(self.path)
        mode = "mode=ro&immutable=1" if immutable else "mode=ro"
        self.real = self.path.resolve()
        self._is_held = False
        address = f"file:{quote(str(self.real))}?{mode}"
        found = _device_and_inode(self.path)
        try:
            self._connection = sqlite.connect(address, autocommit=True)
            self._set(f"PRAGMA busy_timeout = {round(busy_timeout_seconds * 1000)}")
            self._set("PRAGMA query_only = ON")
            self._set("BEGIN")
            self.value("SELECT count(*) FROM sqlite_schema")
        except (DriverError, OSError) as error:
            raise self._told(error, "it cannot be opened") from error
        if _device_and_inode(self.path) != found:
            self.close()
            raise SourceUnreachable(f"{self.path}: another file was put in its place while it was opened; run again")
        if not self._has_whole_pages():
            self.close()
            raise self.damaged("its end is cut off")
        self.inode = found[1]
        """Of the file that is open, whatever stands at its path by now."""
        self._as_found = self._stamp()
        # Beside a WAL a checkpoint writes to the file, as it may.
        self._is_held = immutable or self.value("PRAGMA journal_mode") != "wal"

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Every row of a small result."""
        table = self.table(sql, values)
        try:
            return list(zip(*(column.to_pylist() for column in table.columns), strict=True)) if table.num_rows else []
        except UnicodeDecodeError as error:
            raise ConfigurationError(
                f"{self.path}: a key or a cursor is text that is not UTF-8: set key_columns: [rowid], or another cursor"
            ) from error

    def value(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """The first column of the first row, or None."""
        found = self.rows(sql, values)
        return found[0][0] if found else None

    def table(self, sql: str, values: Sequence[Any] = ()) -> pa.Table:
        """A result that fits into memory."""
        return pa.Table.from_batches(*self._all(sql, values))

    def batches(self, sql: str, values: Sequence[Any], rows: int) -> Iterator[pa.RecordBatch]:
        """A result in batches of that many rows; each column's type is that of its first value."""
        try:
            with self._connection.cursor() as cursor:
                cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(rows)})
                with _answer(cursor, sql, values) as reader:
                    for batch in reader:
                        self._check_untouched()
                        yield batch
        except DriverError as error:
            raise self._told(error, "reading failed") from error
        except pa.ArrowException as error:
            raise MixedTypes(f"{self.path}: {error}") from error
        except OSError as error:  # pyarrow's shape for an error inside a stream
            raise self._stream_error(error) from error

    def close(self) -> None:
        """End the transaction. May be called twice."""
        self._connection.close()

    def damaged(self, why: str) -> ConfigurationError:
        """The error for a file that is not what SQLite wrote."""
        return ConfigurationError(f"{self.path}: the file is damaged: restore it, or try `.recover` on a copy ({why})")

    def _has_whole_pages(self) -> bool:
        """SQLite takes what is cut off the last page for zeros, in whose stead the end of a row had stood.

        Beside a WAL pages may be missing: they are in the WAL.
        """
        pages, size = self.value("PRAGMA page_count"), self.value("PRAGMA page_size")
        return self.real.stat().st_size >= pages * size or bool(_beside(self.path))

    def _set(self, sql: str) -> None:
        with self._connection.cursor() as cursor, _answer(cursor, sql, ()) as reader:
            reader.read_all()

    def _all(self, sql: str, values: Sequence[Any]) -> tuple[list[pa.RecordBatch], pa.Schema]:
        try:
            with self._connection.cursor() as cursor, _answer(cursor, sql, values) as reader:
                found = list(reader), reader.schema
        except DriverError as error:
            raise self._told(error, "reading failed") from error
        except OSError as error:
            raise self._stream_error(error) from error
        self._check_untouched()
        return found

    def _check_untouched(self) -> None:
        """Raise SourceUnreachable where the file was written to although a read lock is held: pages of two moments, or
        of two files, would be read as one."""
        if self._is_held and self._stamp() not in (self._as_found, None):
            raise SourceUnreachable(
                f"{self.path}: something that heeds no locks wrote to it while it was read (cp does): run again"
            )

    def _stamp(self) -> tuple[int, int] | None:
        """When the open file was last written to, and its size; None where its path leads elsewhere by now."""
        try:
            found = self.real.stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size) if found.st_ino == self.inode else None

    def _stream_error(self, error: OSError) -> SyncError:
        """Told apart by words: the stream carries no codes."""
        text = str(error).lower()
        if "expected" in text and ("type" in text or "integer" in text or "real" in text or "text" in text):
            return MixedTypes(str(self.path))
        return self._told(error, "reading failed")

    def _told(self, error: Exception, what: str) -> SyncError:
        """The error in one line; what the driver repeats of the statement is left out."""
        text = str(error).partition("\nquery:")[0].replace("\n", " ")
        lower = text.lower()
        if any(words in lower for words in _BUSY):
            return SourceUnreachable(f"{self.path}: another process holds it locked; run again ({text})")
        if any(words in lower for words in _BROKEN):
            return self.damaged(text)
        if "unable to open" in lower or "readonly" in lower:
            return ConfigurationError(f"{self.path}: {what}; {why_not(self.path)} ({text})")
        if any(words in lower for words in _REFUSED):
            return ConfigurationError(f"{self.path}: {what}: SQLite refuses the statement ({text})")
        return SourceUnreachable(f"{self.path}: {what} ({text})")


def _answer(cursor: sqlite.Cursor, sql: str, values: Sequence[Any]) -> pa.RecordBatchReader:
    """By the driver's statement, as the cursor's own `execute` would.

    That one takes SIGINT for itself as long as it waits, and makes an error of the driver of it, or nothing.
    """
    statement = cursor.adbc_statement
    statement.set_sql_query(sql)
    statement.prepare()
    if values:
        bound = pa.RecordBatch.from_pydict({str(number): [value] for number, value in enumerate(values)})
        statement.bind(bound)
    stream, _ = statement.execute_query()
    return pa.RecordBatchReader.from_stream(stream)


class MixedTypes(SyncError):
    """A column held values of several types after all: the page is read again, value by value."""


def check_file(path: Path) -> None:
    """Raise ConfigurationError for what is no SQLite file, before the driver makes one of it."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigurationError(f"{path}: is no file")  # a pipe would be waited for
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path}: there is no such file") from error
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    if start and start != _MAGIC:
        raise ConfigurationError(f"{path}: is no SQLite file (or an encrypted one)")


def _device_and_inode(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    return found.st_dev, found.st_ino


def _beside(path: Path) -> list[str]:
    """What a writer has not brought into the file yet: the names of a WAL or a journal with something in it."""
    real = path.resolve()
    logs = [real.with_name(real.name + ending) for ending in ("-wal", "-journal")]
    return [log.name for log in logs if log.is_file() and log.stat().st_size]


def _check_nobody_writes(path: Path) -> None:
    """Raise ConfigurationError where the file alone is not what was committed: it is old, or half of a transaction."""
    found = _beside(path)
    if found:
        raise ConfigurationError(
            f"{path}: immutable: true, and {found[0]} lies beside it: the file alone is not what was committed. Set"
            " immutable to false, or let a program that may write close the file first"
        )


def why_not(path: Path) -> str:
    """Why SQLite cannot open a file for reading only, and what to do."""
    if any(name.endswith("-journal") for name in _beside(path)):
        return (
            "a writer died in the middle of a transaction, and its journal has to be rolled back by a program that may"
            " write: open the file once with sqlite3, or give this user the right to write to it and its folder"
        )
    return (
        "a file in WAL mode needs its folder writable for the `-shm` file; where nobody writes and no `-wal` is there,"
        " `immutable: true` does without"
    )


def quoted(name: str) -> str:
    """An identifier in SQL."""
    return '"' + name.replace('"', '""') + '"'


def folded(name: str) -> str:
    """The name as SQLite compares names: the letters of ASCII in any case, all others as they are."""
    return name.translate(_LOWER)
