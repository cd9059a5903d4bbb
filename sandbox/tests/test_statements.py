"""T-SQL that taps, tests and operators send, with the answers SQL Server gives."""

from __future__ import annotations

from typing import Any

import pytest

EXPRESSIONS: list[tuple[str, Any]] = [
    ("7 / 2", 3),
    ("7.0 / 2", 3.5),
    ("'a' + 'b'", "ab"),
    ("LEN('ab  ')", 2),
    ("DATALENGTH(N'abc')", 6),
    ("ISNULL(NULL, 5)", 5),
    ("COALESCE(NULL, 'x')", "x"),
    ("NULLIF(1, 1)", None),
    ("IIF(1 = 2, 'a', 'b')", "b"),
    ("DATEDIFF(day, '2024-01-01', '2024-03-01')", 60),
    ("DATEDIFF(minute, '2024-01-01 00:00:59', '2024-01-01 00:01:00')", 1),
    ("DATEDIFF_BIG(microsecond, '2024-01-01', '2024-01-02')", 86_400_000_000),
    (
        "CONVERT(varchar(33), DATEADD(minute, -30, CAST('2024-01-01 00:10:00.1234567' AS datetime2(7))), 126)",
        "2023-12-31T23:40:00.1234567",
    ),
    ("CONVERT(varchar(10), CAST('2024-02-29' AS date), 103)", "29/02/2024"),
    ("CONVERT(varchar(8), CAST('2024-02-29' AS date), 112)", "20240229"),
    ("CONVERT(varchar(10), 0xAB01, 1)", "0xAB01"),
    ("CONVERT(varchar(10), 0xAB01, 2)", "AB01"),
    ("CAST('2024-01-01T10:00:00Z' AS date)", __import__("datetime").date(2024, 1, 1)),
    ("TRY_CAST('x' AS int)", None),
    ("TRY_CONVERT(int, '12')", 12),
    ("CAST(1.9 AS int)", 1),
    ("YEAR('2024-05-06')", 2024),
    ("PARSENAME('LOJA.dbo.clientes', 1)", "clientes"),
    ("PARSENAME('LOJA.dbo.clientes', 3)", "LOJA"),
    ("PARSENAME('LOJA..clientes', 2)", None),
    ("PARSENAME('dbo.clientes', 3)", None),
    ('PARSENAME(\'[a.b]].c]."d.""e"\', 2)', "a.b].c"),
    ('PARSENAME(\'[a.b]].c]."d.""e"\', 1)', 'd."e'),
    ("PARSENAME('a.b.c.d.e', 1)", None),
    ("DB_NAME()", "LOJA"),
    ("SCHEMA_NAME(1)", "dbo"),
    ("SERVERPROPERTY('EngineEdition')", 3),
    ("SERVERPROPERTY('Collation')", "SQL_Latin1_General_CP1_CI_AS"),
    ("CASE WHEN 'a' = 'A' THEN 1 ELSE 0 END", 1),
    ("DATABASEPROPERTYEX('LOJA', 'Collation')", "SQL_Latin1_General_CP1_CI_AS"),
    ("SESSIONPROPERTY('ANSI_NULLS')", 1),
    ("CHARINDEX('c', 'abc')", 3),
    ("SUBSTRING('abcdef', 2, 3)", "bcd"),
    ("UPPER('ç')", "Ç"),
    ("ABS(-5)", 5),
    ("@@TRANCOUNT", 0),
    ("QUOTENAME('a]b')", "[a]]b]"),
]


@pytest.mark.parametrize(("expression", "wanted"), EXPRESSIONS, ids=[e for e, _ in EXPRESSIONS])
def test_an_expression_means_what_it_means_in_sql_server(sql: Any, expression: str, wanted: Any) -> None:
    found = sql.execute(f"SELECT {expression}").fetchone()[0]
    assert (float(found) if isinstance(wanted, float) else found) == wanted


def test_row_counts(cursor: Any, fresh: Any) -> None:
    table = fresh("(id int IDENTITY(10,5) PRIMARY KEY, name varchar(20), n int DEFAULT 7)")
    cursor.execute(f"INSERT INTO {table} (name) VALUES ('a'), ('b'), ('c')")
    assert cursor.rowcount == 3
    cursor.execute(f"UPDATE {table} SET n = n + 1 WHERE name <> 'a'")
    assert cursor.rowcount == 2
    cursor.execute(f"DELETE FROM {table} WHERE id = 10")
    assert cursor.rowcount == 1
    cursor.execute(f"SELECT id, name, n FROM {table} ORDER BY id")
    assert [tuple(r) for r in cursor.fetchall()] == [(15, "b", 8), (20, "c", 8)]


def test_prepared_statements_run_many_times(cursor: Any, fresh: Any, driver: str) -> None:
    table = fresh("(id int NOT NULL, name nvarchar(20) NULL)")
    mark = "%s" if driver == "pymssql" else "?"
    cursor.executemany(f"INSERT INTO {table} VALUES ({mark}, {mark})", [(n, f"nome {n}") for n in range(20)])
    for wanted in (3, 19, 7):
        cursor.execute(f"SELECT name FROM {table} WHERE id = {mark}", (wanted,))
        assert [tuple(r) for r in cursor.fetchall()] == [(f"nome {wanted}",)]


def test_top_offset_and_order(sql: Any, fresh: Any) -> None:
    table = fresh("(id int NOT NULL, v int NULL)")
    sql.execute(f"INSERT INTO {table} VALUES (1, NULL), (2, 5), (3, 1), (4, 9)")
    assert [r[0] for r in sql.execute(f"SELECT TOP (?) id FROM {table} ORDER BY v", (2,)).fetchall()] == [1, 3]
    assert [r[0] for r in sql.execute(f"SELECT TOP 2 id FROM {table} ORDER BY v DESC").fetchall()] == [4, 2]
    rows = sql.execute(f"SELECT id FROM {table} ORDER BY id OFFSET 1 ROWS FETCH NEXT 2 ROWS ONLY").fetchall()
    assert [r[0] for r in rows] == [2, 3]


def test_names_ignore_case_and_take_brackets(sql: Any, fresh: Any) -> None:
    table = fresh("([Minha Coluna] int, Outra int)")
    sql.execute(f"INSERT INTO {table.upper()} VALUES (1, 2)")
    assert tuple(sql.execute(f"SELECT [minha coluna], OUTRA AS [x y] FROM {table} AS q").fetchone()) == (1, 2)
    assert [d[0] for d in sql.description] == ["Minha Coluna", "x y"] or [d[0] for d in sql.description][1] == "x y"


def test_joins_subqueries_and_common_table_expressions(sql: Any, fresh: Any) -> None:
    left, right = fresh("(id int, v int)"), fresh("(id int, w varchar(5))")
    sql.execute(f"INSERT INTO {left} VALUES (1, 10), (2, 20); INSERT INTO {right} VALUES (1, 'um')")
    rows = sql.execute(
        f"WITH c AS (SELECT id, v FROM {left}) SELECT c.v, r.w, (SELECT COUNT(*) FROM {right} x WHERE x.id = c.id) AS n"
        f" FROM c LEFT JOIN {right} r ON r.id = c.id WHERE EXISTS (SELECT 1 FROM {left}) ORDER BY c.v"
    ).fetchall()
    assert [tuple(r) for r in rows] == [(10, "um", 1), (20, None, 0)]
    rows = sql.execute(f"SELECT id FROM {left} UNION ALL SELECT id FROM {right} ORDER BY id").fetchall()
    assert [r[0] for r in rows] == [1, 1, 2]
    # ORDER BY may name a column of a UNION as the first query does.
    rows = sql.execute(
        f"SELECT l.v, l.id AS n FROM {left} l UNION SELECT id, 0 FROM {right} ORDER BY l.id DESC, l.v"
    ).fetchall()
    assert [tuple(r) for r in rows] == [(20, 2), (10, 1), (1, 0)]


def test_update_and_delete_through_a_join(sql: Any, fresh: Any) -> None:
    left, right = fresh("(id int, v int)"), fresh("(id int, w int)")
    sql.execute(f"INSERT INTO {left} VALUES (1, 0), (2, 0), (3, 0); INSERT INTO {right} VALUES (1, 5), (3, 7)")
    sql.execute(f"UPDATE l SET v = r.w FROM {left} l JOIN {right} r ON r.id = l.id")
    assert sql.rowcount == 2
    sql.execute(f"DELETE l FROM {left} l JOIN {right} r ON r.id = l.id WHERE r.w = 7")
    assert sql.rowcount == 1
    assert [tuple(r) for r in sql.execute(f"SELECT id, v FROM {left} ORDER BY id").fetchall()] == [(1, 5), (2, 0)]


def test_output_returns_what_changed(sql: Any, fresh: Any) -> None:
    table = fresh("(id int IDENTITY PRIMARY KEY, v int)")
    rows = sql.execute(f"INSERT INTO {table} (v) OUTPUT INSERTED.id, INSERTED.v VALUES (5), (6)").fetchall()
    assert [tuple(r) for r in rows] == [(1, 5), (2, 6)]
    rows = sql.execute(f"UPDATE {table} SET v = 9 OUTPUT DELETED.v, INSERTED.v WHERE id = 2").fetchall()
    assert [tuple(r) for r in rows] == [(6, 9)]


def test_altering_a_table(sql: Any, fresh: Any) -> None:
    table = fresh("(id int NOT NULL, v varchar(5) NULL)")
    sql.execute(f"INSERT INTO {table} VALUES (1, 'a')")
    sql.execute(f"ALTER TABLE {table} ADD w int NOT NULL CONSTRAINT DF_w_{abs(hash(table))} DEFAULT 3")
    sql.execute(f"ALTER TABLE {table} ALTER COLUMN v varchar(50) NOT NULL")
    assert tuple(sql.execute(f"SELECT * FROM {table}").fetchone()) == (1, "a", 3)
    sql.execute(f"ALTER TABLE {table} DROP COLUMN w")
    assert tuple(sql.execute(f"SELECT * FROM {table}").fetchone()) == (1, "a")


def test_batches_without_semicolons_and_with_flow(sql: Any, fresh: Any) -> None:
    table = fresh("(id int)")
    sql.execute(
        f"SET NOCOUNT ON DECLARE @n int = 2 IF OBJECT_ID('{table}') IS NOT NULL BEGIN INSERT INTO {table} VALUES (@n)"
        f" INSERT INTO {table} VALUES (@n + 1) END ELSE PRINT 'no' SELECT SUM(id) FROM {table}"
    )
    while sql.description is None:
        assert sql.nextset()
    assert sql.fetchone()[0] == 5


def test_computed_columns_follow_their_sources(sql: Any, fresh: Any) -> None:
    table = fresh("(a int NOT NULL, b AS (a * 2))")
    sql.execute(f"INSERT INTO {table} (a) VALUES (4)")
    sql.execute(f"UPDATE {table} SET a = 5")
    assert tuple(sql.execute(f"SELECT a, b FROM {table}").fetchone()) == (5, 10)


def test_views_and_select_into(sql: Any, fresh: Any) -> None:
    table = fresh("(id int NOT NULL, v datetime2(7))")
    sql.execute(f"INSERT INTO {table} VALUES (1, '2024-01-01 00:00:00.1234567')")
    sql.execute(f"CREATE VIEW dbo.visao AS SELECT id, v AS quando FROM {table}")
    try:
        found = sql.execute("SELECT CONVERT(varchar(33), quando, 126) FROM dbo.visao").fetchone()[0]
        assert found == "2024-01-01T00:00:00.1234567"
    finally:
        sql.execute("DROP VIEW dbo.visao")
    sql.execute(f"SELECT id, v INTO dbo.copia FROM {table}")
    assert sql.execute("SELECT COUNT(*) FROM dbo.copia WHERE v > '2024-01-01 00:00:00.1234566'").fetchone()[0] == 1
    sql.execute("DROP TABLE dbo.copia")


def test_several_databases(connect: Any, sql: Any) -> None:
    sql.execute("CREATE DATABASE OUTRA")
    try:
        with connect(database="OUTRA", autocommit=True) as link:
            other = link.cursor()
            other.execute("CREATE TABLE dbo.so_aqui (id int)")
            other.execute("INSERT INTO dbo.so_aqui VALUES (42)")
            assert other.execute("SELECT DB_NAME()").fetchone()[0] == "OUTRA"
        assert sql.execute("SELECT id FROM OUTRA.dbo.so_aqui").fetchone()[0] == 42
        assert "OUTRA" in [r[0] for r in sql.execute("SELECT name FROM sys.databases").fetchall()]
    finally:
        sql.execute("DROP DATABASE OUTRA")


def test_referential_constraints_have_the_columns_that_reflection_reads(sql: Any) -> None:
    # SQLAlchemy joins on these for every table it reflects.
    assert not sql.execute(
        "SELECT constraint_name, unique_constraint_schema, unique_constraint_name, match_option, update_rule,"
        " delete_rule FROM INFORMATION_SCHEMA.REFERENTIAL_CONSTRAINTS"
    ).fetchall()
