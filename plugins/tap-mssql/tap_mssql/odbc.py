"""Microsoft's ODBC Driver 18 by its own functions: the file in mssql-python's wheel, called through ctypes.

Names, numbers and rules are those of the ODBC API reference and of Microsoft's additions to it in `msodbcsql.h`. No
driver manager is needed: the driver is one library, and Unicode functions take UTF-16.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes import c_int, c_short, c_size_t, c_ssize_t, c_ushort, c_void_p
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import UUID

SQL_SUCCESS, SQL_SUCCESS_WITH_INFO, SQL_NO_DATA = 0, 1, 100
SQL_NULL_DATA, SQL_NO_TOTAL = -1, -4

SQL_CHAR, SQL_VARCHAR, SQL_LONGVARCHAR = 1, 12, -1
SQL_WCHAR, SQL_WVARCHAR, SQL_WLONGVARCHAR = -8, -9, -10
SQL_BINARY, SQL_VARBINARY, SQL_LONGVARBINARY = -2, -3, -4
SQL_BIT, SQL_TINYINT, SQL_SMALLINT, SQL_INTEGER, SQL_BIGINT = -7, -6, 5, 4, -5
SQL_DECIMAL, SQL_NUMERIC, SQL_FLOAT, SQL_REAL, SQL_DOUBLE = 3, 2, 6, 7, 8
SQL_GUID, SQL_TYPE_DATE, SQL_TYPE_TIMESTAMP = -11, 91, 93
SQL_SS_TIME2, SQL_SS_TIMESTAMPOFFSET, SQL_SS_UDT = -154, -155, -151

SQL_C_CHAR, SQL_C_WCHAR, SQL_C_BINARY, SQL_C_BIT, SQL_C_GUID = 1, -8, -2, -7, -11
SQL_C_UTINYINT, SQL_C_SSHORT, SQL_C_SLONG, SQL_C_SBIGINT = -28, -15, -16, -25
SQL_C_FLOAT, SQL_C_DOUBLE, SQL_C_TYPE_DATE, SQL_C_TYPE_TIMESTAMP = 7, 8, 91, 93
SQL_C_SS_TIME2, SQL_C_SS_TIMESTAMPOFFSET = 0x4000, 0x4001

_SQL_HANDLE_ENV, _SQL_HANDLE_DBC, _SQL_HANDLE_STMT = 1, 2, 3
_SQL_ATTR_ODBC_VERSION, _SQL_OV_ODBC3 = 200, 3
_SQL_ATTR_LOGIN_TIMEOUT = 103
_SQL_ATTR_QUERY_TIMEOUT, _SQL_ATTR_ROWS_FETCHED_PTR, _SQL_ATTR_ROW_ARRAY_SIZE = 0, 26, 27
_SQL_PARAM_INPUT = 1
_SQL_DRIVER_NOPROMPT = 0
_LONGEST_NVARCHAR = 4000
_PIECE = 8_192
"""Bytes of a value that one SQLGetData brings: of a longer one the next calls bring the rest."""
_NO_WARNINGS = ("01004", "01S01")
"""A value that was cut to the room it had; a row that is wrong."""
_INTEGERS = (SQL_BIT, SQL_TINYINT, SQL_SMALLINT, SQL_INTEGER, SQL_BIGINT)
_FLOATS = (SQL_FLOAT, SQL_REAL, SQL_DOUBLE)
_BYTES = (SQL_BINARY, SQL_VARBINARY, SQL_LONGVARBINARY, SQL_SS_UDT)

_FUNCTIONS: dict[str, list[Any]] = {
    "SQLAllocHandle": [c_short, c_void_p, c_void_p],
    "SQLBindCol": [c_void_p, c_ushort, c_short, c_void_p, c_ssize_t, c_void_p],
    "SQLBindParameter": [
        c_void_p, c_ushort, c_short, c_short, c_short, c_size_t, c_short, c_void_p, c_ssize_t, c_void_p,
    ],
    "SQLDescribeColW": [c_void_p, c_ushort, c_void_p, c_short, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p],
    "SQLDisconnect": [c_void_p],
    "SQLDriverConnectW": [c_void_p, c_void_p, c_void_p, c_short, c_void_p, c_short, c_void_p, c_ushort],
    "SQLExecDirectW": [c_void_p, c_void_p, c_int],
    "SQLExecute": [c_void_p],
    "SQLFetch": [c_void_p],
    "SQLFreeHandle": [c_short, c_void_p],
    "SQLGetData": [c_void_p, c_ushort, c_short, c_void_p, c_ssize_t, c_void_p],
    "SQLGetDiagRecW": [c_short, c_void_p, c_short, c_void_p, c_void_p, c_void_p, c_short, c_void_p],
    "SQLMoreResults": [c_void_p],
    "SQLNumResultCols": [c_void_p, c_void_p],
    "SQLPrepareW": [c_void_p, c_void_p, c_int],
    "SQLSetConnectAttrW": [c_void_p, c_int, c_void_p, c_int],
    "SQLSetEnvAttr": [c_void_p, c_int, c_void_p, c_int],
    "SQLSetStmtAttrW": [c_void_p, c_int, c_void_p, c_int],
}  # fmt: skip
_environment = threading.Lock()


class OdbcError(Exception):
    """What the driver told: `state` is the SQLSTATE, `text` its message or the server's."""

    def __init__(self, state: str, text: str) -> None:
        super().__init__(state, text)
        self.state = state
        self.text = text


@dataclass(frozen=True)
class Described:
    """A column of a result: `kind` is its SQL type; `size` in characters, bytes or digits; `digits` after the point."""

    name: str
    kind: int
    size: int
    digits: int


@cache
def driver() -> ctypes.CDLL:
    """The driver's library, its functions declared. Raises ImportError or OdbcError where it cannot be loaded."""
    from tap_mssql import native

    native.ready()
    from mssql_python import ddbc_bindings

    found = find_spec("mssql_python_odbc")
    if found is None or not found.origin:
        raise OdbcError("IM003", "Failed to load the driver: the package mssql-python-odbc is not installed")
    try:
        # Which of the wheel's files fits this machine is for the package itself to say.
        path = ddbc_bindings.GetDriverPathCpp(str(Path(found.origin).parent))  # type: ignore[attr-defined]
        library = ctypes.CDLL(path)
        for name, arguments in _FUNCTIONS.items():
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, c_short
    except (OSError, RuntimeError, AttributeError) as error:  # not there, no such platform, another library
        raise OdbcError("IM003", f"Failed to load the driver: {error}") from error
    return library


def _given(handle: c_void_p) -> None:
    if not handle:
        raise OdbcError("HY001", "the driver has no memory")


@cache
def _process_environment() -> c_void_p:
    handle = c_void_p()
    driver().SQLAllocHandle(_SQL_HANDLE_ENV, None, ctypes.byref(handle))
    _given(handle)
    driver().SQLSetEnvAttr(handle, _SQL_ATTR_ODBC_VERSION, _SQL_OV_ODBC3, 0)
    return handle


class Connection:
    """One connection. Not shared between threads."""

    def __init__(self, connection_string: str, login_seconds: int) -> None:
        self._driver = driver()
        with _environment:
            environment = _process_environment()
        self.handle = c_void_p()
        self._driver.SQLAllocHandle(_SQL_HANDLE_DBC, environment, ctypes.byref(self.handle))
        _given(self.handle)
        self._connected = False
        self._open: set[Statement] = set()
        try:
            self._driver.SQLSetConnectAttrW(self.handle, _SQL_ATTR_LOGIN_TIMEOUT, login_seconds, 0)
            text = _utf16(connection_string)
            returned = self._driver.SQLDriverConnectW(
                self.handle, None, text, len(text) // 2, None, 0, None, _SQL_DRIVER_NOPROMPT
            )
            _check(self._driver, returned, _SQL_HANDLE_DBC, self.handle)
            self._connected = True
        finally:
            if not self._connected:
                self.close()

    def close(self) -> None:
        """End the session and let go of it; may be called twice.

        Its statements are closed before: whoever fetched from one later, or closed it, would crash in the driver.
        """
        for statement in list(self._open):
            statement.close()
        self._open.clear()
        handle, self.handle = self.handle, c_void_p()
        if not handle:
            return
        if self._connected:
            self._driver.SQLDisconnect(handle)
        self._driver.SQLFreeHandle(_SQL_HANDLE_DBC, handle)

    @contextmanager
    def executed(self, sql: str, values: Sequence[Any], timeout_seconds: int) -> Iterator[Statement]:
        """A statement that was executed; what is left of its result is given up at the end."""
        if not self.handle:
            raise OdbcError("08003", "Connection not open")
        statement = Statement(self._driver, self.handle)
        self._open.add(statement)
        try:
            statement.limit(timeout_seconds)
            statement.execute(sql, values)
            yield statement
        finally:
            statement.close()
            self._open.discard(statement)


class Statement:
    """A statement and its result, which is read row by row or in blocks of rows."""

    def __init__(self, library: ctypes.CDLL, connection: c_void_p) -> None:
        self._driver = library
        self._pointer = c_void_p()
        self._held: list[Any] = []
        self._fetched = c_size_t()
        returned = library.SQLAllocHandle(_SQL_HANDLE_STMT, connection, ctypes.byref(self._pointer))
        _check(library, returned, _SQL_HANDLE_DBC, connection)

    @property
    def _handle(self) -> c_void_p:
        """The driver's. Given none it crashes, where a driver manager would answer with an error."""
        if not self._pointer:
            raise OdbcError("08003", "Connection not open")
        return self._pointer

    def close(self) -> None:
        """Let go of it; a server that still sends is told to stop. May be called twice."""
        pointer, self._pointer = self._pointer, c_void_p()
        if pointer:
            self._driver.SQLFreeHandle(_SQL_HANDLE_STMT, pointer)
        self._held.clear()

    def limit(self, seconds: int) -> None:
        """How long the server may take for an answer, and for what is left of one; 0 for ever."""
        self._set(_SQL_ATTR_QUERY_TIMEOUT, seconds)

    def execute(self, sql: str, values: Sequence[Any]) -> None:
        """Run it, the values bound to its markers: integers as bigint, texts and None as nvarchar.

        The types are the same for every value, or the server would compile a plan for each. With values the driver asks
        by sp_prepexec, as mssql-python and pyodbc have it do, not by sp_executesql: servers that speak no more than the
        protocol may know the one and not the other.
        """
        text = _utf16(sql)
        if not values:
            self._check(self._driver.SQLExecDirectW(self._handle, text, len(text) // 2))
            return
        self._check(self._driver.SQLPrepareW(self._handle, text, len(text) // 2))
        for number, value in enumerate(values, 1):
            self._bind_value(number, value)
        self._check(self._driver.SQLExecute(self._handle))

    def columns(self) -> list[Described]:
        """The result's columns; none where the statement has no result."""
        count = c_short()
        self._check(self._driver.SQLNumResultCols(self._handle, ctypes.byref(count)))
        return [self._described(number) for number in range(1, count.value + 1)]

    def block(self, rows: int) -> None:
        """Have `fetch` bring so many rows at once.

        Asked for before the statement is executed, the driver would take a server cursor for it.
        """
        self._set(_SQL_ATTR_ROW_ARRAY_SIZE, rows)
        self._set(_SQL_ATTR_ROWS_FETCHED_PTR, ctypes.addressof(self._fetched))

    def bind(self, number: int, c_type: int, values: int, width: int, lengths: int) -> None:
        """Where the values of a column go, `width` bytes each, and their lengths, eight bytes each: two addresses."""
        self._check(self._driver.SQLBindCol(self._handle, number, c_type, values, width, lengths))

    def fetch(self) -> int:
        """The next rows; how many came, 0 at the end. Only after `block`."""
        if not self.next_row():
            return 0
        return self._fetched.value

    def next_row(self) -> bool:
        """Go to the next row, for `value`; false at the end.

        What the server prints amid its rows makes the driver call those around it wrong (SQL_ROW_ERROR), which they are
        not: what it tells is what counts. A row that it cannot convert it tells as an error.
        """
        returned = self._driver.SQLFetch(self._handle)
        told = self._check(returned)
        if returned == SQL_NO_DATA:
            self.end()
            return False
        if returned == SQL_SUCCESS_WITH_INFO and not told:
            raise OdbcError("HY000", "unspecified error: a row could not be read")
        return True

    def end(self) -> None:
        """See what the server says after the last row: an error there means that there were more."""
        returned = SQL_SUCCESS
        while returned != SQL_NO_DATA:
            returned = self._driver.SQLMoreResults(self._handle)
            self._check(returned)

    def value(self, number: int, kind: int) -> Any:
        """The row's value of a column as Python has it, None for NULL. Columns are asked for from left to right."""
        if kind in _INTEGERS:
            found = self._piece(number, SQL_C_SBIGINT, 8)
            return None if found is None else int.from_bytes(found, "little", signed=True)
        if kind in _FLOATS:
            found = self._piece(number, SQL_C_DOUBLE, 8)
            return None if found is None else ctypes.c_double.from_buffer_copy(found).value
        if kind == SQL_GUID:
            found = self._piece(number, SQL_C_GUID, 16)
            return None if found is None else UUID(bytes_le=found)
        if kind in _BYTES:
            return self._long(number, SQL_C_BINARY)
        found = self._long(number, SQL_C_WCHAR)
        if found is None:
            return None
        text = found.decode("utf-16-le", "replace")
        return Decimal(text) if kind in (SQL_DECIMAL, SQL_NUMERIC) else text

    def _long(self, number: int, c_type: int) -> bytes | None:
        """A value of any length, piece by piece."""
        pieces: list[bytes] = []
        terminator = 2 if c_type == SQL_C_WCHAR else 0
        buffer = ctypes.create_string_buffer(_PIECE)
        length = c_ssize_t()
        while True:
            returned = self._driver.SQLGetData(self._handle, number, c_type, buffer, _PIECE, ctypes.byref(length))
            if returned == SQL_NO_DATA:
                return b"".join(pieces)
            if returned not in (SQL_SUCCESS, SQL_SUCCESS_WITH_INFO):
                self._check(returned)
            if length.value == SQL_NULL_DATA:
                return None
            room = _PIECE - terminator
            more = length.value == SQL_NO_TOTAL or length.value > room
            pieces.append(buffer.raw[: room if more else length.value])
            if not more:
                return b"".join(pieces)

    def _piece(self, number: int, c_type: int, width: int) -> bytes | None:
        buffer = ctypes.create_string_buffer(width)
        length = c_ssize_t()
        self._check(self._driver.SQLGetData(self._handle, number, c_type, buffer, width, ctypes.byref(length)))
        return None if length.value == SQL_NULL_DATA else buffer.raw

    def _described(self, number: int) -> Described:
        name = ctypes.create_string_buffer(1024)
        length, kind, digits, nullable = c_short(), c_short(), c_short(), c_short()
        size = c_size_t()
        out = [ctypes.byref(each) for each in (length, kind, size, digits, nullable)]
        self._check(self._driver.SQLDescribeColW(self._handle, number, name, 512, *out))
        text = name.raw[: length.value * 2].decode("utf-16-le", "replace")
        return Described(text, kind.value, size.value, digits.value)

    def _bind_value(self, number: int, value: Any) -> None:
        c_type, kind, size = SQL_C_WCHAR, SQL_WVARCHAR, _LONGEST_NVARCHAR
        if isinstance(value, int):
            if not -(2**63) <= value < 2**63:
                raise OdbcError("22003", "a number to compare with is beyond bigint")
            data, c_type, kind, size = value.to_bytes(8, "little", signed=True), SQL_C_SBIGINT, SQL_BIGINT, 0
        elif isinstance(value, str):
            data = _utf16(value)
            size = size if len(data) // 2 <= size else 0  # 0: nvarchar(max)
        elif value is None:
            data = b""
        else:
            raise OdbcError("07006", f"a {type(value).__name__} is nothing to compare with")
        buffer = ctypes.create_string_buffer(data, max(len(data), 1))
        length = c_ssize_t(SQL_NULL_DATA if value is None else len(data))
        self._held += [buffer, length]
        returned = self._driver.SQLBindParameter(
            self._handle, number, _SQL_PARAM_INPUT, c_type, kind, size, 0, buffer, len(data), ctypes.byref(length)
        )
        self._check(returned)

    def _set(self, attribute: int, value: int) -> None:
        self._check(self._driver.SQLSetStmtAttrW(self._handle, attribute, value, 0))

    def _check(self, returned: int) -> int:
        return _check(self._driver, returned, _SQL_HANDLE_STMT, self._handle)


def _utf16(text: str) -> bytes:
    """As the server has it: half a character, which JSON can bring and a name can have, is a unit like any other."""
    return text.encode("utf-16-le", "surrogatepass")


def _check(library: ctypes.CDLL, returned: int, kind: int, handle: c_void_p) -> int:
    """Raise the first error that the driver tells; how many warnings it told. Of class 01 is what the server prints.

    With SQL_SUCCESS_WITH_INFO, too: so come the rows there were before a result broke off.
    """
    if returned == SQL_SUCCESS:
        return 0
    warnings = 0
    for state, text in _records(library, kind, handle):
        if not state.startswith("01") or state in _NO_WARNINGS:
            raise OdbcError(state, text)
        warnings += 1
    if returned not in (SQL_SUCCESS_WITH_INFO, SQL_NO_DATA):
        raise OdbcError("HY000", f"unspecified error: the driver answered {returned}")
    return warnings


def _records(library: ctypes.CDLL, kind: int, handle: c_void_p) -> Iterator[tuple[str, str]]:
    """SQLSTATE and text of what the driver tells of its last call, the most important first."""
    number = 1
    while True:
        state, text = ctypes.create_string_buffer(12), ctypes.create_string_buffer(8_192)
        native, length = c_int(), c_short()
        out = (state, ctypes.byref(native), text, len(text) // 2, ctypes.byref(length))
        returned = library.SQLGetDiagRecW(kind, handle, number, *out)
        if returned not in (SQL_SUCCESS, SQL_SUCCESS_WITH_INFO):
            return
        told = text.raw[: min(length.value * 2, len(text) - 2)].decode("utf-16-le", "replace")
        yield state.raw[:10].decode("utf-16-le"), told
        number += 1
