"""A table that is read while others work on it: what is asked first, and what is refused rather than believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest
from sync_rules.bookmarks import FullBookmark
from sync_rules.exits import ConfigurationError, SourceUnreachable
from sync_rules.full import KeyRange
from tap_mssql.errors import SourceChanged
from tap_mssql.tap import TapMssql

Make = Callable[..., None]


class Meddled:
    """A real connection: `answers` stand in for what this server has not, `after` is called once a query was answered,
    and with `twice` each page's last row comes twice, as from a scan that meets a row again which moved."""

    def __init__(
        self,
        inner: Any,
        answers: dict[str, list[tuple[Any, ...]]] | None = None,
        after: Callable[[str], None] = lambda _: None,
        *,
        twice: bool = False,
    ) -> None:
        self._inner, self._answers, self._after, self._twice = inner, answers or {}, after, twice

    def rows(self, sql: str, values: Sequence[Any] = (), **how: Any) -> list[tuple[Any, ...]]:
        for words, answer in self._answers.items():
            if words in sql:
                return answer
        found: list[tuple[Any, ...]] = self._inner.rows(sql, values, **how)
        self._after(sql)
        return found

    def batches(self, *what: Any, **how: Any) -> Iterator[pa.RecordBatch]:
        batch: pa.RecordBatch | None = None
        for batch in self._inner.batches(*what, **how):
            yield batch
        if self._twice and batch is not None:
            yield batch.slice(batch.num_rows - 1)

    def close(self) -> None:
        self._inner.close()


@pytest.fixture
def opened(source: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Open a table by the tap, whose connections are meddled with."""
    made: list[Any] = []

    def open_table(name: str, meddle: Callable[[Any], Any] = lambda inner: inner, **settings: Any) -> Any:
        tap = TapMssql(config={**source.config, "tables": [name], "page_size": 3, **settings})
        [stream] = tap.discover_streams()
        connect = tap.connection
        monkeypatch.setattr(tap, "connection", lambda: meddle(connect()))
        made.append(stream.open_source())
        return made[-1]

    yield open_table
    for table in made:
        table.close()


def keys(page: Any) -> list[int]:
    return [row["id"] for batch in page.batches for row in batch.to_pylist()]


def test_a_row_that_comes_while_the_sync_begins_is_no_ones_to_miss(source: Any, table: Make, opened: Any) -> None:
    """SPEC I3: it is below the full sync's highest key, or the first incremental sync's to read."""
    table("dbo.begun", "id int NOT NULL PRIMARY KEY, v int, stamp rowversion")
    source.execute("INSERT INTO dbo.begun (id, v) VALUES (1, 1)")

    def insert(sql: str) -> None:
        if "SYSUTCDATETIME" in sql or "ORDER BY [id] DESC" in sql:
            source.execute(*("INSERT INTO dbo.begun (id, v) SELECT MAX(id) + 1, 1 FROM dbo.begun" for _ in range(2)))

    begun = opened("dbo.begun", lambda inner: Meddled(inner, after=insert), cursor_column="stamp").begin()
    with_rows = opened("dbo.begun")._reader.connection
    missed = "SELECT id FROM dbo.begun WHERE id > ? AND CAST(CAST(stamp AS binary(8)) AS bigint) < ?"
    assert with_rows.rows(missed, [begun.upper_key[0], begun.cursor_at_start]) == []


def test_a_type_that_changes_between_pages_ends_the_sync(source: Any, table: Make, opened: Any) -> None:
    table("dbo.altered", "id int NOT NULL PRIMARY KEY, v int", *[f"({n}, {n})" for n in range(1, 10)])
    read = opened("dbo.altered", max_parallelism=1)
    assert keys(read.read_page(KeyRange((9,)))) == [9, 8, 7]
    source.execute("ALTER TABLE dbo.altered ALTER COLUMN v bigint")
    with pytest.raises(SourceChanged, match="type changed while it was read"):
        read.read_page(KeyRange((9,), (7,)))


@pytest.mark.parametrize(
    "meanwhile",
    [
        ["DROP TABLE dbo.replaced", "CREATE TABLE dbo.replaced (id int NOT NULL PRIMARY KEY, v varchar(5))"],
        ["DROP TABLE dbo.replaced"],
        ["ALTER TABLE dbo.replaced ALTER COLUMN v varchar(9)"],
    ],
    ids=["another of its name", "none of its name", "a type that the driver does not tell"],
)
def test_a_table_that_is_replaced_while_it_is_read_is_not_whole(
    source: Any, table: Make, opened: Any, meanwhile: list[str]
) -> None:
    """Loads often fill a table beside the old one and swap their names: pages would be of both."""
    table("dbo.replaced", "id int NOT NULL PRIMARY KEY, v varchar(5)", *[f"({n}, 'old')" for n in range(1, 10)])
    read = opened("dbo.replaced", max_parallelism=1)
    bookmark = FullBookmark(1, "", "", rows=9, estimate=9)
    read.check_whole(bookmark)
    source.execute("ALTER TABLE dbo.replaced ADD later int NULL")
    read.check_whole(bookmark)
    source.execute(*meanwhile)
    with pytest.raises(SourceChanged, match="another table took its name"):
        read.check_whole(bookmark)


def test_a_sync_does_not_go_on_in_another_table_of_the_name(source: Any, table: Make, opened: Any) -> None:
    table("dbo.replaced", "id int NOT NULL PRIMARY KEY")
    before = opened("dbo.replaced").fingerprint
    assert opened("dbo.replaced").fingerprint == before
    table("dbo.replaced", "id int NOT NULL PRIMARY KEY")
    assert opened("dbo.replaced").fingerprint != before


def test_a_row_that_is_met_twice_is_not_handed_on(table: Make, opened: Any) -> None:
    table("dbo.moving", "id int NOT NULL PRIMARY KEY", "(1)", "(2)")
    read = opened("dbo.moving", lambda inner: Meddled(inner, twice=True), max_parallelism=1)
    with pytest.raises(SourceChanged, match="were met twice"):
        read.read_page(KeyRange((2,)))


def test_a_key_that_only_a_setting_names_is_read_by_one_and_looked_at_again(
    source: Any, table: Make, opened: Any
) -> None:
    """SPEC F8. The second 4 lies behind the end of the page that held the first: no page would bring it."""
    table("dbo.unproven", "id int NULL", *[f"({n})" for n in range(1, 7)])
    connections: list[Any] = []
    read = opened(
        "dbo.unproven",
        lambda inner: connections.append(inner) or inner,
        key_columns=["id"],
        max_parallelism=4,
    )
    assert [column.nullable for column in read.columns] == [False]
    assert keys(read.read_page(KeyRange((6,)))) == [6, 5, 4]
    source.execute("INSERT INTO dbo.unproven VALUES (4)")
    assert keys(read.read_page(KeyRange((6,), (4,)))) == [3, 2, 1]
    with pytest.raises(ConfigurationError, match="is not unique"):
        read.read_page(KeyRange((6,), (1,)))
    assert len(connections) == 1


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"is_masked": [("v",)], "HAS_PERMS_BY_NAME": [(0, None, None)]}, "masks instead of the values of v"),
        ({"PARSENAME": [(1,)], "'float'": [(1,)]}, "v holds float or real values"),
    ],
    ids=["a mask", "a float on an old server"],
)
def test_a_column_whose_values_would_be_wrong_opens_no_table(
    table: Make, opened: Any, answers: dict[str, Any], words: str
) -> None:
    table("dbo.wrong", "id int NOT NULL PRIMARY KEY, v sql_variant")
    with pytest.raises(ConfigurationError, match=words):
        opened("dbo.wrong", lambda inner: Meddled(inner, answers))


@pytest.mark.parametrize(
    ("came", "then", "now", "warned"),
    [(100, 200, 201, True), (100, 100, 300, False), (100, 200, 101, False), (100, None, 200, False), (0, 9, 9, True)],
    ids=["hidden", "added meanwhile", "deleted meanwhile", "not told", "all hidden"],
)
def test_rows_that_a_policy_hides_are_missed(
    table: Make, opened: Any, caplog: pytest.LogCaptureFixture, came: int, then: int | None, now: int, warned: bool
) -> None:
    """The login that a policy keeps rows from is mostly not told of the policy."""
    table("dbo.filtered", "id int NOT NULL PRIMARY KEY")
    read = opened("dbo.filtered", lambda inner: Meddled(inner, {"SUM(p.rows)": [("dbo", "filtered", now)]}))
    read.check_whole(FullBookmark(1, "", "", rows=came, estimate=then))
    assert (f"{came} rows came where the catalog counts" in caplog.text) == warned


@pytest.mark.parametrize(
    ("declared", "elsewhere", "warned"),
    [("rowversion", True, True), ("rowversion", False, False), ("int", False, True), ("datetime2(7)", True, False)],
)
def test_a_cursor_that_may_leave_rows_behind_is_told(
    table: Make, opened: Any, caplog: pytest.LogCaptureFixture, declared: str, elsewhere: bool, warned: bool
) -> None:
    """A secondary replica has the row versions of the primary, and not its open transactions."""
    table("dbo.replicated", f"id int NOT NULL PRIMARY KEY, stamp {declared}")
    answers = {"Updateability": [(1,)] if elsewhere else []}
    opened("dbo.replicated", lambda inner: Meddled(inner, answers), sync_mode="incremental", cursor_column="stamp")
    assert ("a row committed after a higher one was read is left to the next full sync" in caplog.text) == warned


@pytest.mark.parametrize(("declared", "warned"), [("datetime2(7)", True), ("datetime2(6)", False)])
def test_keys_that_may_become_one_are_told(
    table: Make, opened: Any, caplog: pytest.LogCaptureFixture, declared: str, warned: bool
) -> None:
    """A full sync is refused where two did; an incremental one keeps the row that was changed last."""
    table("dbo.measured", f"at {declared} NOT NULL PRIMARY KEY, mod_ts datetime2(7) NOT NULL")
    opened("dbo.measured", sync_mode="incremental")
    assert ("rows whose key differs in the seventh digit of at alone become one" in caplog.text) == warned


def test_an_answer_without_columns_is_no_empty_page(source: Any) -> None:
    """It would be taken for the table's end."""
    connection = TapMssql(config=source.config).connection()
    try:
        with pytest.raises(SourceUnreachable, match="answered a query without a result"):
            list(connection.batches("SET NOCOUNT ON", [], 10, pa.schema([]), table="dbo.t"))
    finally:
        connection.close()


def test_a_query_ends_with_its_time(source: Any) -> None:
    connection = TapMssql(config={**source.config, "query_timeout_seconds": 1}).connection()
    try:
        with pytest.raises(SourceUnreachable, match="the query time-out of 1 s passed"):
            connection.rows("WAITFOR DELAY '00:00:20'")
    finally:
        connection.close()
