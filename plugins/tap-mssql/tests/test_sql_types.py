"""Each of SQL Server's types has a place; nothing is selected or bound by guesswork (SPEC V1)."""

from __future__ import annotations

import pytest
from tap_mssql.sql_types import SqlColumn, bound, exact_text, orderable, quote


def column(base: str, length: int = 8, precision: int = 0, scale: int = 0, collation: str | None = None) -> SqlColumn:
    return SqlColumn("a]b", base, length, precision, scale, nullable=True, collation=collation)


MATRIX = [
    (column("bit", 1), "bit", "boolean"),
    (column("tinyint", 1, 3), "tinyint", "smallint"),
    (column("smallint", 2, 5), "smallint", "smallint"),
    (column("int", 4, 10), "int", "integer"),
    (column("bigint", 8, 19), "bigint", "bigint"),
    (column("decimal", 17, 38, 2), "decimal(38,2)", "decimal(38,2)"),
    (column("numeric", 5, 9, 9), "numeric(9,9)", "decimal(9,9)"),
    (column("money", 8, 19, 4), "money", "decimal(19,4)"),
    (column("smallmoney", 4, 10, 4), "smallmoney", "decimal(10,4)"),
    (column("float", 8, 53), "float", "double precision"),
    (column("real", 4, 24), "real", "real"),
    (column("date", 3, 10), "date", "date"),
    (column("time", 5, 16, 7), "time(7)", "time(6)"),
    (column("time", 3, 8, 0), "time(0)", "time(0)"),
    (column("datetime", 8, 23, 3), "datetime", "timestamp(3)"),
    (column("smalldatetime", 4, 16, 0), "smalldatetime", "timestamp(0)"),
    (column("datetime2", 8, 27, 7), "datetime2(7)", "timestamp(6)"),
    (column("datetime2", 6, 19, 0), "datetime2(0)", "timestamp(0)"),
    (column("datetimeoffset", 10, 34, 7), "datetimeoffset(7)", "timestamp(6) with time zone"),
    (column("char", 10), "char(10)", "char(10)"),
    (column("varchar", 14), "varchar(14)", "varchar(14)"),
    (column("varchar", -1), "varchar(max)", "text"),
    (column("nchar", 20), "nchar(10)", "char(10)"),
    (column("nvarchar", 256), "nvarchar(128)", "varchar(128)"),
    (column("nvarchar", -1), "nvarchar(max)", "text"),
    (column("text", 16), "text", "text"),
    (column("ntext", 16), "ntext", "text"),
    (column("binary", 16), "binary(16)", "varbinary"),
    (column("varbinary", 50), "varbinary(50)", "varbinary"),
    (column("varbinary", -1), "varbinary(max)", "varbinary"),
    (column("image", 16), "image", "varbinary"),
    (column("timestamp", 8), "rowversion", "varbinary"),
    (column("uniqueidentifier", 16), "uniqueidentifier", "uuid"),
    (column("xml", -1), "xml", "text"),
    (column("sql_variant", 8016), "sql_variant", "text"),
    (column("hierarchyid", 892), "hierarchyid", "text"),
    (column("geography", -1), "geography", "text"),
    (column("geometry", -1), "geometry", "text"),
    (column("json", -1), "json", "json"),
    (column("vector", 16), "vector", "text"),
    (column("our_clr_type", -1), "our_clr_type", "varbinary"),
]


@pytest.mark.parametrize(("one", "declared", "neutral"), MATRIX, ids=lambda value: str(value)[:20])
def test_each_type_has_its_declaration_and_its_neutral_type(one: SqlColumn, declared: str, neutral: str) -> None:
    assert one.declared == declared
    assert str(one.type) == neutral
    assert quote(one.name) in one.selected


def test_names_are_quoted_whatever_is_in_them() -> None:
    assert quote("a]; DROP TABLE x --") == "[a]]; DROP TABLE x --]"


def test_types_no_driver_reads_are_converted_by_the_server() -> None:
    assert column("hierarchyid").selected == "[a]]b].ToString()"
    assert column("xml", -1).selected == "CAST([a]]b] AS nvarchar(max))"
    assert column("our_clr_type", -1).selected == "CAST([a]]b] AS varbinary(max))"
    assert "AsTextZM" in column("geometry", -1).selected
    assert "SQL_VARIANT_PROPERTY" in column("sql_variant").selected


@pytest.mark.parametrize(
    ("base", "length", "as_type"),
    [
        ("varchar", 60, "60"),
        ("char", 4000, "4000"),
        ("varchar", 8000, "max"),
        ("varchar", -1, "max"),
        ("text", 16, "max"),
    ],
)
def test_the_server_converts_code_pages_which_drivers_get_wrong(base: str, length: int, as_type: object) -> None:
    one = column(base, length, collation="SQL_Latin1_General_CP1_CI_AS")
    assert one.selected == f"CAST([a]]b] AS nvarchar({as_type}))"
    assert column(base, length, collation="Latin1_General_100_CI_AS_SC_UTF8").selected == "[a]]b]"
    assert column("nvarchar", 60, collation="Chinese_PRC_CI_AS").selected == "[a]]b]"


@pytest.mark.parametrize(
    ("base", "length", "collation", "right"),
    [
        ("varchar", 60, "SQL_Latin1_General_CP1_CI_AS", True),
        ("char", 3, "Cyrillic_General_100_CS_AS", True),
        ("varchar", -1, "Latin1_General_CI_AS", False),
        ("text", 16, "Latin1_General_CI_AS", False),
        ("varchar", 60, "Japanese_XJIS_140_CI_AS", False),
        ("varchar", 60, "SQL_Latin1_General_CP1255_CI_AS", False),
        ("varchar", 60, "Latin1_General_100_CI_AS_SC_UTF8", False),
        ("varchar", 60, None, False),
        ("nvarchar", 60, "Latin1_General_CI_AS", False),
    ],
)
def test_code_pages_of_one_byte_are_right_as_stored(base: str, length: int, collation: str | None, right: bool) -> None:
    assert column(base, length, collation=collation).right_as_stored is right


@pytest.mark.parametrize(
    ("one", "marker"),
    [
        (column("bigint"), "CAST(? AS bigint)"),
        (column("decimal", 17, 38, 2), "CAST(? AS decimal(38,2))"),
        (column("datetime2", 8, 27, 7), "CAST(? AS datetime2(7))"),
        (column("datetime"), "CAST(? AS datetime)"),
        (column("varchar", 14, collation="A_CI"), "CAST(? AS varchar(14))"),
        (column("varchar", 14, collation="B_CS"), "CAST(? COLLATE B_CS AS varchar(14))"),
        (column("nvarchar", 28, collation="B_CS"), "CAST(? AS nvarchar(14))"),
        (column("binary", 16), "CONVERT(binary(16), CAST(? AS varchar(max)), 1)"),
        (column("timestamp"), "CAST(CAST(? AS bigint) AS binary(8))"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_key_is_bound_in_its_exact_type(one: SqlColumn, marker: str) -> None:
    """SPEC F2."""
    assert bound(one, "A_CI") == marker


def test_only_types_that_arrow_cuts_need_their_text() -> None:
    assert exact_text(column("datetime2", 8, 27, 7)) == "CONVERT(varchar(33), [a]]b], 126)"
    assert exact_text(column("datetime2", 8, 27, 6)) is None
    assert exact_text(column("datetime")) is None
    assert exact_text(column("bigint")) is None
    assert "SWITCHOFFSET" in str(exact_text(column("datetimeoffset", 10, 34, 3)))


def test_losses_are_counted_only_where_they_can_happen() -> None:
    assert column("datetime2", 8, 27, 7).lost_digits is not None
    assert column("datetime2", 8, 27, 6).lost_digits is None
    assert column("datetimeoffset", 10, 34, 3).lost_offset is not None
    assert column("varchar", 14).lost_digits is None


def test_what_cannot_be_ordered_is_no_key() -> None:
    assert orderable(column("uniqueidentifier"))
    for base in ("xml", "text", "geometry", "sql_variant", "our_clr_type"):
        assert not orderable(column(base))
    assert not orderable(column("varchar", -1))
