"""Values of each type, through the driver, Arrow and RECORD, compared with what was put in (SPEC V1, V2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Make = Callable[..., None]

VALUES = [
    ("bit", "1", True),
    ("tinyint", "255", 255),
    ("smallint", "-32768", -32768),
    ("int", "-2147483648", -2147483648),
    ("bigint", "-9223372036854775808", -9223372036854775808),
    ("decimal(38,2)", "-999999999999999999999999999999999999.99", "-999999999999999999999999999999999999.99"),
    ("decimal(38,38)", "0.00000000000000000000000000000000000001", "1E-38"),
    ("money", "-922337203685477.5808", "-922337203685477.5808"),
    ("smallmoney", "214748.3647", "214748.3647"),
    ("float", "1.7976931348623157e308", 1.7976931348623157e308),
    ("real", "0.5", 0.5),
    ("date", "'9999-12-31'", "9999-12-31"),
    ("date", "'0001-01-01'", "0001-01-01"),
    ("time(7)", "'23:59:59.9999999'", "23:59:59.999999"),
    ("time(0)", "'00:00:00'", "00:00:00.000000"),
    ("datetime", "'1753-01-01T00:00:00.003'", "1753-01-01T00:00:00.003000"),
    ("smalldatetime", "'2079-06-06T23:59:00'", "2079-06-06T23:59:00.000000"),
    ("datetime2(7)", "'9999-12-31T23:59:59.9999999'", "9999-12-31T23:59:59.999999"),
    ("datetime2(0)", "'0001-01-01T00:00:00'", "0001-01-01T00:00:00.000000"),
    ("datetimeoffset(7)", "'2024-06-01T12:00:00.1234567+00:00'", "2024-06-01T12:00:00.123456+00:00"),
    ("char(5)", "'ab'", "ab   "),
    ("varchar(14)", "''", ""),
    ("nvarchar(20)", "N'ação 😀'", "ação 😀"),
    ("nvarchar(max)", "REPLICATE(CAST(N'é' AS nvarchar(max)), 100000)", "é" * 100_000),
    ("varchar(max)", "REPLICATE(CAST('x' AS varchar(max)), 100000)", "x" * 100_000),
    ("varbinary(max)", "0x00FF", "AP8="),
    ("binary(4)", "0x01020304", "AQIDBA=="),
    ("uniqueidentifier", "'6F9619FF-8B86-D011-B42D-00C04FC964FF'", "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
]


BOUNDED = [value for value in VALUES if "max" not in value[0]]
"""The default driver reads a table that has others by mssql-python."""


@pytest.mark.parametrize("every", [VALUES, BOUNDED], ids=["all", "bounded"])
@pytest.mark.parametrize("driver", ["msodbcsql", "mssql-python", "mssql-odbc", "pyodbc"])
def test_values_arrive_as_they_were(source: Any, table: Make, driver: str, every: list[tuple[str, str, Any]]) -> None:
    """SPEC V1: a column for each value, a row that holds them and a row of NULLs."""
    columns = ", ".join(f"v{number} {kind} NULL" for number, (kind, _, _) in enumerate(every))
    table(
        "dbo.wide",
        f"id int NOT NULL PRIMARY KEY, {columns}",
        f"(1, {', '.join(literal for _, literal, _ in every)})",
        f"(2, {', '.join(['NULL'] * len(every))})",
    )
    run = source.tap(tables=["dbo.wide"], **source.driver(driver))
    assert run.exit_code == 0, run.log
    none, values = run.records
    assert set(none.values()) == {2, None}
    for number, (kind, literal, expected) in enumerate(every):
        found = values[f"v{number}"]
        found = float(found) if isinstance(expected, float) else found
        assert found == expected, f"{kind} {literal[:30]}"
    assert "3 values lost their seventh digit" in run.log


EMPTY = {
    "varchar(9)": ("''", ""),
    "nvarchar(9)": ("''", ""),
    "varchar(max)": ("''", ""),
    "nvarchar(max)": ("''", ""),
    "text": ("''", ""),
    "ntext": ("''", ""),
    "varbinary(9)": ("0x", ""),
    "varbinary(max)": ("0x", ""),
    "image": ("0x", ""),
}

KEYS = {
    "uniqueidentifier": [f"'{n:08X}-0000-0000-0000-{9 - n:012X}'" for n in range(9)],
    "varchar(20)": ["'a'", "'B'", "'ç'", "'d e'", "'10'", "'9'"],
    "decimal(20,3)": ["-1.5", "0", "99999999999999999.999", "2", "0.001"],
    "datetime2(7)": [f"'2024-01-01T00:00:00.000000{n}'" for n in range(9)],
    "datetime": [f"'2024-01-01T00:00:00.{n}'" for n in ("000", "003", "007", "010", "013")],
    "date": [f"'2024-01-0{n}'" for n in range(1, 9)],
    "bigint": ["-9223372036854775808", "-1", "0", "255", "256", "9223372036854775807"],
    "binary(2)": ["0x0000", "0x00FF", "0xFF00", "0x0100"],
}


def test_any_type_can_be_a_key(source: Any, table: Make) -> None:
    """SPEC F2: one row a page, so that every key is bound once."""
    names = {f"dbo.keyed{number}": kind for number, kind in enumerate(KEYS)}
    for name, kind in names.items():
        rows = [f"({text}, {n})" for n, text in enumerate(KEYS[kind])]
        table(name, f"k {kind} NOT NULL PRIMARY KEY, n int", *rows)
    run = source.tap(tables=list(names), page_size=1)
    assert run.exit_code == 0, run.log
    for name, kind in names.items():
        stream = name.replace(".", "-")
        found = [message["record"]["n"] for message in run.of("RECORD") if message["stream"] == stream]
        assert sorted(found) == list(range(len(KEYS[kind]))), kind


@pytest.mark.parametrize("driver", ["msodbcsql", "mssql-python", "mssql-odbc", "pyodbc"])
@pytest.mark.parametrize("kinds", [[*EMPTY], ["varchar(9)", "nvarchar(9)", "varbinary(9)"]], ids=["all", "bounded"])
def test_an_empty_value_is_no_null(source: Any, table: Make, driver: str, kinds: list[str]) -> None:
    columns = ", ".join(f"v{number} {kind}" for number, kind in enumerate(kinds))
    empty = ", ".join(EMPTY[kind][0] for kind in kinds)
    nulls = ", ".join(["NULL"] * len(kinds))
    table("dbo.empty", f"id int NOT NULL PRIMARY KEY, {columns}", f"(1, {empty})", f"(2, {nulls})")
    run = source.tap(tables=["dbo.empty"], **source.driver(driver))
    assert run.exit_code == 0, run.log
    none, values = run.records
    assert set(none.values()) == {2, None}
    assert [values[f"v{number}"] for number in range(len(kinds))] == [EMPTY[kind][1] for kind in kinds]
