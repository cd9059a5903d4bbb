"""Each of SQL Server's types, as the three drivers see it."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any

import pytest

D = decimal.Decimal
UTC = datetime.timezone.utc
WHEN = datetime.datetime(2024, 2, 29, 23, 59, 58, 123456)
VALUES: list[tuple[str, str, Any]] = [
    ("tinyint", "255", 255),
    ("smallint", "-32768", -32768),
    ("int", "2147483647", 2147483647),
    ("bigint", "-9223372036854775808", -9223372036854775808),
    ("bit", "1", True),
    ("decimal(38,2)", "-999999999999999999999999999999999999.99", D("-999999999999999999999999999999999999.99")),
    ("decimal(9,4)", "12345.6789", D("12345.6789")),
    ("numeric(19,0)", "9999999999999999999", D("9999999999999999999")),
    ("decimal(28,10)", "0.0000000001", D("0.0000000001")),
    ("money", "-922337203685477.5808", D("-922337203685477.5808")),
    ("smallmoney", "214748.3647", D("214748.3647")),
    ("real", "1.5", 1.5),
    ("float", "1.7976931348623157e308", 1.7976931348623157e308),
    ("date", "'0001-01-01'", datetime.date(1, 1, 1)),
    ("date", "'9999-12-31'", datetime.date(9999, 12, 31)),
    ("time(0)", "'23:59:58'", datetime.time(23, 59, 58)),
    ("datetime2(7)", "'2024-02-29 23:59:58.1234560'", WHEN),
    ("datetime2(0)", "'9999-12-31 23:59:59'", datetime.datetime(9999, 12, 31, 23, 59, 59)),
    ("datetime2(3)", "'0001-01-01 00:00:00.001'", datetime.datetime(1, 1, 1, 0, 0, 0, 1000)),
    ("datetime", "'1753-01-01 00:00:00.997'", datetime.datetime(1753, 1, 1, 0, 0, 0, 997000)),
    ("smalldatetime", "'2079-06-06 23:59'", datetime.datetime(2079, 6, 6, 23, 59)),
    ("char(5)", "'ab'", "ab   "),
    ("varchar(14)", "'São João €'", "São João €"),
    ("varchar(20)", "N'nota 😀 ação Ω'", "nota ? ação ?"),
    ("varchar(max)", "''", ""),
    ("nchar(5)", "N'a😀'", "a😀  "),
    ("nchar(2)", "N'😀'", "😀"),
    ("nvarchar(4)", "N'😀😀'", "😀😀"),
    ("nchar(4)", "N'ação'", "ação"),
    ("nvarchar(30)", "N'日本 😀'", "日本 😀"),
    ("nvarchar(max)", "N'x'", "x"),
    ("text", "'velho'", "velho"),
    ("ntext", "N'çã 日本 😀'", "çã 日本 😀"),
    ("xml", "'<a>é</a>'", "<a>é</a>"),
    ("binary(4)", "0x0102", b"\x01\x02\x00\x00"),
    ("varbinary(8)", "0xFF00", b"\xff\x00"),
    ("varbinary(max)", "0x", b""),
    ("image", "0xABCD", b"\xab\xcd"),
    ("uniqueidentifier", "'6F9619FF-8B86-D011-B42D-00C04FC964FF'", uuid.UUID("6F9619FF-8B86-D011-B42D-00C04FC964FF")),
]


def same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, uuid.UUID):
        return uuid.UUID(str(found)) == wanted
    if isinstance(wanted, bytes):
        return bytes(found) == wanted
    return bool(found == wanted)


@pytest.mark.parametrize(("kind", "literal", "wanted"), VALUES, ids=[f"{k}={v[:20]}" for k, v, _ in VALUES])
def test_a_stored_value_arrives_exactly(cursor: Any, fresh: Any, kind: str, literal: str, wanted: Any) -> None:
    table = fresh(f"(id int NOT NULL, v {kind} NULL)")
    cursor.execute(f"INSERT INTO {table} VALUES (1, {literal}), (2, NULL)")
    cursor.execute(f"SELECT v FROM {table} ORDER BY id")
    rows = [row[0] for row in cursor.fetchall()]
    assert same(rows[0], wanted), rows
    assert rows[1] is None


# Microsoft's driver itself refuses to bind a date before 1753.
PARAMETERS = [v for v in VALUES if v[0] not in ("text", "ntext", "image", "xml") and v[1] != "'0001-01-01'"]


@pytest.mark.parametrize("driver", ["mssql-python", "pyodbc"])
@pytest.mark.parametrize(("kind", "literal", "wanted"), PARAMETERS, ids=[f"{k}={v[:20]}" for k, v, _ in PARAMETERS])
def test_a_bound_value_is_stored_exactly(cursor: Any, fresh: Any, kind: str, literal: str, wanted: Any) -> None:
    table = fresh(f"(id int NOT NULL, v {kind} NULL)")
    cursor.execute(f"INSERT INTO {table} VALUES (?, ?)", (1, wanted))
    cursor.execute(f"INSERT INTO {table} VALUES (?, ?)", (2, None))
    cursor.execute(f"SELECT v FROM {table} ORDER BY id")
    rows = [row[0] for row in cursor.fetchall()]
    assert same(rows[0], wanted), rows
    assert rows[1] is None


def test_datetime2_keeps_its_seventh_digit(cursor: Any, fresh: Any) -> None:
    table = fresh("(v datetime2(7) NOT NULL)")
    cursor.execute(f"INSERT INTO {table} VALUES ('2024-01-01T00:00:00.1234566'), ('2024-01-01T00:00:00.1234567')")
    cursor.execute(f"SELECT CONVERT(varchar(33), v, 126) FROM {table} WHERE v >= '2024-01-01T00:00:00.1234567'")
    assert [row[0] for row in cursor.fetchall()] == ["2024-01-01T00:00:00.1234567"]


def test_datetime_ticks_three_times_in_ten_milliseconds(cursor: Any, fresh: Any) -> None:
    table = fresh("(v datetime NOT NULL)")
    cursor.execute(f"INSERT INTO {table} VALUES ('2024-01-01 00:00:00.002'), ('2024-01-01 00:00:00.999')")
    cursor.execute(f"SELECT CONVERT(varchar(33), v, 121) FROM {table} ORDER BY v")
    assert [r[0] for r in cursor.fetchall()] == ["2024-01-01 00:00:00.003", "2024-01-01 00:00:01.000"]


def test_datetimeoffset_keeps_its_offset(sql: Any, fresh: Any) -> None:
    table = fresh("(v datetimeoffset(7) NOT NULL)")
    sql.execute(f"INSERT INTO {table} VALUES ('2024-06-01 21:00:00.1234567 -03:00')")
    sql.execute(
        f"SELECT v, CONVERT(varchar(40), v, 121), CONVERT(varchar(33), SWITCHOFFSET(v, '+00:00'), 126) FROM {table}"
    )
    value, local, universal = sql.fetchone()
    assert value.utcoffset() == datetime.timedelta(hours=-3)
    assert value.astimezone(UTC) == datetime.datetime(2024, 6, 2, 0, 0, 0, 123456, UTC)
    assert (local, universal) == ("2024-06-01 21:00:00.1234567 -03:00", "2024-06-02T00:00:00.1234567+00:00")


def test_datetimeoffsets_are_compared_by_their_instants(sql: Any, fresh: Any) -> None:
    table = fresh("(v datetimeoffset(7) NOT NULL)")
    sql.execute(f"INSERT INTO {table} VALUES ('2024-01-01T00:00:00.0000002-14:00')")
    for sign, found in (("=", 1), ("<=", 1), ("<", 0), (">", 0), ("<>", 0)):
        sql.execute(f"SELECT COUNT(*) FROM {table} WHERE v {sign} '2024-01-01T14:00:00.0000002+00:00'")
        assert (sign, sql.fetchone()[0]) == (sign, found)


def test_moments_are_rounded_and_told_as_their_type_has_them(sql: Any, fresh: Any) -> None:
    table = fresh("(a datetimeoffset(0) NOT NULL, b datetime NOT NULL)")
    sql.execute(f"INSERT INTO {table} VALUES ('2024-02-29T23:59:58.6-03:00', '2024-02-29T23:59:58.847')")
    sql.execute(
        f"SELECT CONVERT(varchar(40), CAST(a AS datetimeoffset(7)), 121), CONVERT(varchar(40), b, 126) FROM {table}"
    )
    assert tuple(sql.fetchone()) == ("2024-02-29 23:59:59.0000000 -03:00", "2024-02-29T23:59:58.847")


def test_arrow_types_are_the_declared_ones(sql: Any, fresh: Any) -> None:
    table = fresh("(a tinyint, b money, c decimal(38,2), d datetime2(7), e date, f nvarchar(10), g bit, h real)")
    sql.execute(f"INSERT INTO {table} VALUES (1, 1.5, 2.25, '2024-01-01', '2024-01-01', N'x', 1, 0.5)")
    schema = sql.execute(f"SELECT * FROM {table}").arrow().schema
    assert [str(f.type) for f in schema] == [
        "uint8",
        "decimal128(19, 4)",
        "decimal128(38, 2)",
        "timestamp[us]",
        "date32[day]",
        "large_string",
        "bool",
        "float",
    ]


def test_rowversion_grows_with_each_change(sql: Any, fresh: Any) -> None:
    table = fresh("(id int NOT NULL, v rowversion)")
    sql.execute(f"INSERT INTO {table} (id) VALUES (1), (2)")
    sql.execute(f"SELECT v FROM {table} ORDER BY id")
    first, second = (r[0] for r in sql.fetchall())
    assert len(first) == 8
    assert first < second
    sql.execute(f"UPDATE {table} SET id = 3 WHERE id = 1")
    assert sql.execute(f"SELECT v FROM {table} WHERE id = 3").fetchone()[0] > second
    assert sql.execute(f"SELECT COUNT(*) FROM {table} WHERE v > ?", (second,)).fetchone()[0] == 1


def test_declared_sizes_reach_the_client(connect: Any, fresh: Any) -> None:
    table = fresh("(a varchar(14) NOT NULL, b decimal(38,2), c nvarchar(7), d datetime2(3))")
    with connect("pyodbc", autocommit=True) as link:
        described = link.cursor().execute(f"SELECT a, b, c, d FROM {table}").description
    assert [(d[3], d[4], d[5], d[6]) for d in described] == [
        (14, 14, 0, False),
        (38, 38, 2, True),
        (7, 7, 0, True),
        (23, 23, 3, True),
    ]


def test_large_values_come_whole(cursor: Any, fresh: Any) -> None:
    table = fresh("(v nvarchar(max), w varbinary(max))")
    cursor.execute(f"INSERT INTO {table} SELECT REPLICATE(CAST(N'çx' AS nvarchar(max)), 100000), 0x0102")
    cursor.execute(f"SELECT v, DATALENGTH(v) FROM {table}")
    value, size = cursor.fetchone()
    assert value == "çx" * 100000
    assert size == 400000


def test_wide_text_is_counted_in_utf_16_units(sql: Any, fresh: Any) -> None:
    """The n of nvarchar and nchar: pairs of bytes, of which a character beyond the basic plane takes two."""
    table = fresh("(v nvarchar(3) NULL)")
    with pytest.raises(Exception, match="would be truncated"):
        sql.execute(f"INSERT INTO {table} VALUES (N'😀😀')")
    sql.execute("SELECT CAST(N'a😀b' AS nvarchar(3)), CAST(N'ab' AS nchar(3)), DATALENGTH(CAST(N'😀' AS nchar(3)))")
    assert tuple(sql.fetchone()) == ("a😀", "ab ", 6)
    texts = ["", "ab", "ção", "ãéõç", "日本語", "😀", "a😀é", "日😀😀"]
    sql.execute("SELECT " + ", ".join(f"DATALENGTH(CAST(N'{text}' AS nvarchar(50)))" for text in texts))
    assert list(sql.fetchone()) == [len(text.encode("utf-16-le")) for text in texts]


def test_a_column_may_be_named_beyond_the_basic_plane(sql: Any, fresh: Any) -> None:
    table = fresh("([😀] int, b int)")
    sql.execute(f"INSERT INTO {table} VALUES (1, 2)")
    sql.execute(f"SELECT * FROM {table}")
    assert [column[0] for column in sql.description] == ["😀", "b"]
    assert tuple(sql.fetchone()) == (1, 2)
