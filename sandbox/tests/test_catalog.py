"""The catalog views that discovery reads, joined as discovery joins them."""

from __future__ import annotations

from typing import Any

import pytest

COLUMNS = """
SELECT c.name, ty.name, c.max_length, c.precision, c.scale, c.is_nullable, c.is_identity, c.is_computed, c.is_sparse
FROM sys.columns c JOIN sys.types ty ON ty.user_type_id = c.user_type_id
WHERE c.object_id = OBJECT_ID(?) ORDER BY c.column_id
"""
KEYS = """
SELECT k.name, i.type_desc, i.is_unique, col.name, ic.key_ordinal, ic.is_descending_key
FROM sys.key_constraints k
JOIN sys.indexes i ON i.object_id = k.parent_object_id AND i.index_id = k.unique_index_id
JOIN sys.index_columns ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id
JOIN sys.columns col ON col.object_id = ic.object_id AND col.column_id = ic.column_id
JOIN sys.tables t ON t.object_id = k.parent_object_id JOIN sys.schemas s ON s.schema_id = t.schema_id
WHERE s.name = 'dbo' AND t.name = ? ORDER BY k.name, ic.key_ordinal
"""


def test_columns_as_declared(sql: Any, fresh: Any) -> None:
    table = fresh(
        "(id bigint IDENTITY NOT NULL, a varchar(14) NOT NULL, b nvarchar(max), c decimal(38,2),"
        " d datetime2(7) NOT NULL, e time(3), f datetimeoffset, g char(3), h varbinary(20), i money, j float, k real,"
        " l rowversion, m AS (a + 'x'), n int SPARSE NULL, o uniqueidentifier, p xml, q sysname)"
    )
    rows = [tuple(r) for r in sql.execute(COLUMNS, (table,)).fetchall()]
    assert rows[0] == ("id", "bigint", 8, 19, 0, False, True, False, False)
    assert rows[1][:6] == ("a", "varchar", 14, 0, 0, False)
    found = {r[0]: r[1:5] for r in rows}
    assert found["b"] == ("nvarchar", -1, 0, 0)
    assert found["c"] == ("decimal", 17, 38, 2)
    assert found["d"] == ("datetime2", 8, 27, 7)
    assert found["e"] == ("time", 4, 12, 3)
    assert found["f"] == ("datetimeoffset", 10, 34, 7)
    assert found["g"] == ("char", 3, 0, 0)
    assert found["i"] == ("money", 8, 19, 4)
    assert found["j"] == ("float", 8, 53, 0)
    assert found["k"] == ("real", 4, 24, 0)
    assert found["l"] == ("timestamp", 8, 0, 0)
    assert found["o"] == ("uniqueidentifier", 16, 0, 0)
    assert found["q"] == ("sysname", 256, 0, 0)
    assert rows[13][7] is True
    assert rows[14][8] is True


@pytest.mark.parametrize(
    "declared",
    [
        "CONSTRAINT PK_x PRIMARY KEY CLUSTERED ([id] ASC), CONSTRAINT UQ_x UNIQUE NONCLUSTERED (v DESC)",
        "PRIMARY KEY CLUSTERED (id), UNIQUE NONCLUSTERED (v DESC)",
        "PRIMARY KEY NONCLUSTERED (id), UNIQUE CLUSTERED (v DESC)",
        "w int PRIMARY KEY CLUSTERED, x int NOT NULL UNIQUE NONCLUSTERED",
        "w int CONSTRAINT PK_x PRIMARY KEY NONCLUSTERED, x int UNIQUE CLUSTERED",
    ],
)
def test_where_a_key_says_how_it_is_stored_it_is_still_a_key(sql: Any, fresh: Any, declared: str) -> None:
    table = fresh(f"(id int NOT NULL, v int NOT NULL, {declared})").removeprefix("dbo.")
    found = [tuple(r) for r in sql.execute(KEYS, (table,)).fetchall()]
    clustered = "PRIMARY KEY CLUSTERED" in declared
    columns = ("w", "x") if declared.startswith("w") else ("id", "v")
    expected = [
        ("CLUSTERED" if clustered else "NONCLUSTERED", True, columns[0], 1, False),
        ("NONCLUSTERED" if clustered else "CLUSTERED", True, columns[1], 1, "DESC" in declared),
    ]
    assert sorted(row[1:] for row in found) == sorted(expected)


def test_keys_and_indexes(sql: Any) -> None:
    sql.execute(
        "CREATE TABLE dbo.com_chaves (a int NOT NULL, b int NOT NULL, c varchar(9),"
        " CONSTRAINT PK_com_chaves PRIMARY KEY CLUSTERED (b, a DESC), CONSTRAINT UQ_com_chaves UNIQUE NONCLUSTERED (c))"
    )
    sql.execute("CREATE INDEX IX_c ON dbo.com_chaves (c DESC) INCLUDE (a)")
    try:
        assert [tuple(r) for r in sql.execute(KEYS, ("com_chaves",)).fetchall()] == [
            ("PK_com_chaves", "CLUSTERED", True, "b", 1, False),
            ("PK_com_chaves", "CLUSTERED", True, "a", 2, True),
            ("UQ_com_chaves", "NONCLUSTERED", True, "c", 1, False),
        ]
        used = sql.execute(
            "SELECT tc.CONSTRAINT_TYPE, k.COLUMN_NAME, k.ORDINAL_POSITION FROM INFORMATION_SCHEMA.TABLE_CONSTRAINTS tc"
            " JOIN INFORMATION_SCHEMA.KEY_COLUMN_USAGE k ON k.CONSTRAINT_NAME = tc.CONSTRAINT_NAME"
            " WHERE tc.TABLE_NAME = 'COM_CHAVES' ORDER BY 1, 3"
        ).fetchall()
        assert [tuple(r) for r in used] == [("PRIMARY KEY", "b", 1), ("PRIMARY KEY", "a", 2), ("UNIQUE", "c", 1)]
    finally:
        sql.execute("DROP TABLE dbo.com_chaves")


def test_row_estimates(sql: Any, fresh: Any) -> None:
    table = fresh("(id int NOT NULL PRIMARY KEY)")
    sql.execute(f"INSERT INTO {table} VALUES (1), (2), (3)")
    found = sql.execute(
        "SELECT SUM(p.rows) FROM sys.partitions p WHERE p.object_id = OBJECT_ID(?) AND p.index_id IN (0, 1)", (table,)
    ).fetchone()
    assert found[0] == 3
    found = sql.execute(
        "SELECT SUM(row_count) FROM sys.dm_db_partition_stats WHERE object_id = OBJECT_ID(?) AND index_id < 2", (table,)
    ).fetchone()
    assert found[0] == 3


def test_databases_tell_their_isolation(sql: Any) -> None:
    query = (
        "SELECT snapshot_isolation_state, is_read_committed_snapshot_on, collation_name FROM sys.databases"
        " WHERE name = DB_NAME()"
    )
    assert tuple(sql.execute(query).fetchone()) == (1, True, "SQL_Latin1_General_CP1_CI_AS")
    sql.execute("ALTER DATABASE LOJA SET ALLOW_SNAPSHOT_ISOLATION OFF")
    try:
        assert sql.execute(query).fetchone()[0] == 0
    finally:
        sql.execute("ALTER DATABASE LOJA SET ALLOW_SNAPSHOT_ISOLATION ON")


def test_information_schema_columns(sql: Any, fresh: Any) -> None:
    table = fresh("(a varchar(14) NOT NULL DEFAULT 'x', b decimal(10,3))")
    rows = sql.execute(
        "SELECT COLUMN_NAME, DATA_TYPE, CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, IS_NULLABLE"
        " FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = 'dbo' AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION",
        (table.removeprefix("dbo."),),
    ).fetchall()
    assert [tuple(r) for r in rows] == [("a", "varchar", 14, None, None, "NO"), ("b", "decimal", None, 10, 3, "YES")]


def test_the_drivers_own_catalog_calls(connect: Any, fresh: Any) -> None:
    table = fresh("(id int NOT NULL PRIMARY KEY, v varchar(7))").removeprefix("dbo.")
    with connect("pyodbc", autocommit=True) as link:
        cursor = link.cursor()
        assert [r.table_name for r in cursor.tables(table=table)] == [table]
        assert [(r.column_name, r.type_name) for r in cursor.columns(table=table)] == [("id", "int"), ("v", "varchar")]
        assert [r.column_name for r in cursor.primaryKeys(table=table)] == ["id"]
