"""Errors as SQL Server numbers them, and DuckDB's errors told in those numbers.

The numbers and texts are those of SQL Server's documented list (`sys.messages`).
"""

from __future__ import annotations

import re

import duckdb


class SqlError(Exception):
    """A statement SQL Server would refuse; `fatal` ends the connection too."""

    def __init__(self, number: int, message: str, severity: int = 16, state: int = 1, *, fatal: bool = False) -> None:
        super().__init__(message)
        self.number, self.severity, self.state, self.fatal = number, severity, state, fatal


class Cancelled(Exception):
    """The client sent ATTENTION, or its connection is gone."""


def no_object(name: str) -> SqlError:
    return SqlError(208, f"Invalid object name '{name}'.")


def no_column(name: str) -> SqlError:
    return SqlError(207, f"Invalid column name '{name}'.")


def syntax(near: str) -> SqlError:
    return SqlError(102, f"Incorrect syntax near '{near}'.", 15)


def denied(verb: str, item: str, database: str, schema: str) -> SqlError:
    return SqlError(
        229,
        f"The {verb} permission was denied on the object '{item}', database '{database}', schema '{schema}'.",
        14,
        5,
    )


def from_duckdb(error: duckdb.Error) -> Exception:
    """The SQL Server error nearest to a DuckDB one; what has no near one is 50000 with DuckDB's own words."""
    text = str(error)
    first = text.split("\n", 1)[0]
    reason = first.split(" when casting from ", 1)[0]
    if isinstance(error, duckdb.InterruptException):
        return Cancelled()
    if match := re.search(r'Referenced column "([^"]+)" (?:was )?not found', text):
        return no_column(match[1])
    if match := re.search(r'does not have a column named "([^"]+)"', text):
        return no_column(match[1])
    if match := re.search(r"(?:Table|View) with name (\S+) does not exist", text):
        return no_object(match[1])
    if match := re.search(r'Referenced table "([^"]+)" not found', text):
        return SqlError(4104, f'The multi-part identifier "{match[1]}" could not be bound.')
    if match := re.search(r"Scalar Function with name (\S+) does not exist", text):
        return SqlError(195, f"'{match[1]}' is not a recognized built-in function name.", 15)
    if match := re.search(r'Ambiguous reference to column name "([^"]+)"', text):
        return SqlError(209, f"Ambiguous column name '{match[1]}'.")
    if match := re.search(r"NOT NULL constraint failed: (\S+)\.(\S+)", text):
        return SqlError(
            515,
            f"Cannot insert the value NULL into column '{match[2]}', table '{match[1]}'; column does not allow nulls.",
            16,
            2,
        )
    if isinstance(error, duckdb.ConstraintException) and "truncated" not in text:
        return SqlError(547, f"The statement conflicted with a constraint: {first}")
    if match := re.search(r"String or binary data would be truncated in ([^\n]*)", text):
        return SqlError(2628, f"String or binary data would be truncated in {match[1]}.")
    if match := re.search(r"with value (\S+) can't be cast .* type (INT16|UINT8|INT8)", text):
        name = {"INT16": "smallint"}.get(match[2], "tinyint")
        return SqlError(220, f"Arithmetic overflow error for data type {name}, value = {match[1]}.", 16, 2)
    if isinstance(error, duckdb.ConversionException) and re.search(
        r"(?i)(invalid|out of range).*(timestamp|date)|(timestamp|date) field", reason
    ):
        return SqlError(241, "Conversion failed when converting date and/or time from character string.")
    if "ivision by zero" in text:
        return SqlError(8134, "Divide by zero error encountered.")
    if isinstance(error, duckdb.ParserException):
        near = re.search(r'at or near "([^"]*)"', text)
        return syntax(near[1] if near else "the statement")
    if isinstance(error, duckdb.OutOfRangeException) or "out of range" in text or "Overflow" in text:
        return SqlError(8115, "Arithmetic overflow error converting expression to data type.", 16, 2)
    if isinstance(error, duckdb.ConversionException):
        if match := re.search(r"Could not convert string '(.*)' to (\w+)", text, re.DOTALL):
            if match[2] in ("DATE", "TIMESTAMP"):
                return SqlError(241, "Conversion failed when converting date and/or time from character string.")
            return SqlError(245, f"Conversion failed when converting the varchar value '{match[1]}' to data type int.")
        return SqlError(245, f"Conversion failed: {first}")
    if isinstance(error, duckdb.TransactionException) and "onflict" in text:
        return SqlError(3960, "Snapshot isolation transaction aborted due to update conflict.", 16, 2)
    return SqlError(50000, first)
