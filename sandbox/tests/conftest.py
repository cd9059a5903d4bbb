"""A stand-in in this process, its databases in memory, and the three drivers that must work against it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mssql_python
import pymssql
import pytest

from sandbox.engine.instance import Instance
from sandbox.tds.server import SqlServer

PASSWORD = "Senha_do_teste_1"
DATABASE = "LOJA"


def driver_file() -> str:
    """The ODBC driver that Microsoft's wheel carries for this kind of Linux."""
    found = importlib.util.find_spec("mssql_python_odbc")
    assert found is not None
    assert found.origin is not None
    libraries = Path(found.origin).parent / "libs" / "linux"
    files = sorted(libraries.glob("debian_ubuntu/x86_64/lib/libmsodbcsql-*")) or sorted(
        libraries.rglob("libmsodbcsql-*")
    )
    return str(files[0])


@pytest.fixture(scope="session")
def server() -> Iterator[SqlServer]:
    instance = Instance(None, memory="1GB")
    instance.create_database(DATABASE)
    running = SqlServer(instance, {"sa": PASSWORD, "sem_direitos": PASSWORD}).start()
    yield running
    running.stop()


Connect = Callable[..., Any]


@pytest.fixture(scope="session")
def connect(server: SqlServer) -> Connect:
    """`connect(driver, ...)`: a new connection by mssql-python, pyodbc or pymssql."""

    def make(
        driver: str = "mssql-python",
        user: str = "sa",
        password: str = PASSWORD,
        database: str = DATABASE,
        encrypt: str = "no",
        **options: Any,
    ) -> Any:
        words = f"SERVER=127.0.0.1,{server.port};UID={user};PWD={password};DATABASE={database};Encrypt={encrypt};"
        words += "TrustServerCertificate=yes;"
        if driver == "mssql-python":
            return mssql_python.connect(words, **options)
        if driver == "pyodbc":
            pyodbc = pytest.importorskip("pyodbc", reason="no ODBC manager on this machine", exc_type=ImportError)
            pyodbc.pooling = False
            return pyodbc.connect(f"DRIVER={driver_file()};{words}", **options)
        return pymssql.connect(
            server="127.0.0.1", port=str(server.port), user=user, password=password, database=database, **options
        )

    return make


@pytest.fixture(params=["mssql-python", "pyodbc", "pymssql"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cursor(connect: Connect, driver: str) -> Iterator[Any]:
    """A cursor of each driver in turn, in autocommit."""
    options = {"autocommit": True}
    with connect(driver, **options) as link:
        yield link.cursor()


@pytest.fixture
def sql(connect: Connect) -> Iterator[Any]:
    """A cursor of Microsoft's driver, in autocommit, for tests of what the server does."""
    with connect(autocommit=True) as link:
        yield link.cursor()


@pytest.fixture
def fresh(sql: Any) -> Iterator[Callable[[str], str]]:
    """`fresh("(id int, ...)")`: a new table of that definition; dropped afterwards."""
    made: list[str] = []

    def create(definition: str) -> str:
        name = f"dbo.t{len(made)}_{id(made) % 10**6}"
        sql.execute(f"CREATE TABLE {name} {definition}")
        made.append(name)
        return name

    yield create
    for name in made:
        sql.execute(f"DROP TABLE IF EXISTS {name}")
