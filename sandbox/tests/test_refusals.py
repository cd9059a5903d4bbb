"""What SQL Server refuses, with the number it refuses it by."""

from __future__ import annotations

from typing import Any

import pytest

REFUSED = [
    (208, "SELECT * FROM dbo.nao_existe"),
    (207, "SELECT nao_existe FROM {t}"),
    (102, "SELECT FROM WHERE"),
    (8134, "SELECT 1 / 0"),
    (245, "SELECT CAST('x' AS int)"),
    (2627, "INSERT INTO {t} VALUES (1, 'b')"),
    (515, "INSERT INTO {t} VALUES (2, NULL)"),
    (2628, "INSERT INTO {t} VALUES (3, 'grande demais')"),
    (220, "SELECT CAST(70000 AS smallint)"),
    (137, "SELECT @nada"),
    (195, "SELECT inventada(1)"),
    (2714, "CREATE TABLE {t} (id int)"),
    (3701, "DROP TABLE dbo.nao_existe"),
    (911, "USE nao_existe"),
    (2812, "EXEC nao_existe"),
    (3902, "COMMIT"),
    (209, "SELECT id FROM {t} a JOIN {t} b ON a.id = b.id"),
    (4104, "SELECT z.id FROM {t} a"),
    (241, "SELECT CAST('amanhã' AS date)"),
    (
        8115,
        "SELECT SUM(DATEDIFF(second, '1970-01-01', v)) FROM (VALUES (CAST('2026-01-01' AS date)), ('2026-01-02')) t(v)",
    ),
]


@pytest.mark.parametrize(("number", "statement"), REFUSED, ids=[f"{n}" for n, _ in REFUSED])
def test_a_refusal_has_sql_servers_number(connect: Any, fresh: Any, number: int, statement: str) -> None:
    table = fresh("(id int NOT NULL PRIMARY KEY, v varchar(5) NOT NULL)")
    with connect("pymssql", autocommit=True) as link:
        cursor = link.cursor()
        cursor.execute(f"INSERT INTO {table} VALUES (1, 'a')")
        with pytest.raises(Exception) as refused:  # noqa: PT011, PT012  the number is the assertion
            cursor.execute(statement.format(t=table))
            cursor.fetchall()
        assert refused.value.args[0] == number
        cursor.execute(f"SELECT COUNT(*) FROM {table}")
        assert cursor.fetchone()[0] == 1


def test_wrong_password(connect: Any, driver: str) -> None:
    with pytest.raises(Exception, match=r"Login failed|18456"):
        connect(driver, password="errada")


def test_unknown_database(connect: Any, driver: str) -> None:
    # Each driver puts the two messages, 4060 and 18456, in an order of its own; mssql-python shows only one.
    words = {"pyodbc": "Cannot open database"}.get(driver, "Login failed|18456|4060")
    with pytest.raises(Exception, match=words):
        connect(driver, database="NAO_EXISTE")


def test_no_right_to_read(connect: Any, fresh: Any, sql: Any) -> None:
    table = fresh("(id int)")
    with connect(user="sem_direitos", autocommit=True) as link:
        cursor = link.cursor()
        with pytest.raises(Exception, match="SELECT permission was denied"):
            cursor.execute(f"SELECT * FROM {table}")
        assert cursor.execute(f"SELECT HAS_PERMS_BY_NAME('{table}', 'OBJECT', 'SELECT')").fetchone()[0] == 0
        sql.execute(f"GRANT SELECT ON {table} TO sem_direitos")
        assert cursor.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] == 0


def test_encryption_both_ways(connect: Any, fresh: Any) -> None:
    table = fresh("(v varchar(8000))")
    for encrypt in ("no", "yes"):
        with connect(encrypt=encrypt, autocommit=True) as link:
            cursor = link.cursor()
            cursor.execute(f"INSERT INTO {table} VALUES (?)", ("z" * 8000,))
            assert {len(r[0]) for r in cursor.execute(f"SELECT v FROM {table}").fetchall()} == {8000}
