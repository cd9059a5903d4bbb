"""Text that comes as it is stored, in the code page that the catalog names, and is to arrive as it was (SPEC V1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tap_mssql import arrow_values
from tap_mssql.client import ENCODING
from tap_mssql.errors import NotOfCodePage
from tap_mssql.pages import PageReader
from tap_mssql.queries import TableQueries
from tap_mssql.sql_types import SqlColumn

SETTINGS = {"page_size": 100, "page_bytes": 1_000_000, "fetch_size": 2, "driver": "msodbcsql"}
PAGES = ("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp437", "cp850")
SINGLE_BYTES = [bytes([number]) for number in range(256)]


class Stored:
    """A server with one text a row, and the driver, which is told its code page. The number of the row is its key.

    `gone` are the rows that were deleted since they were read.
    """

    def __init__(self, texts: Sequence[bytes | None], code_page: str, gone: Sequence[int] = ()) -> None:
        self._texts = [None if text is None else (text, text.decode(code_page, "replace")) for text in texts]
        self._gone = gone
        self.asked: list[int] = []
        self.fetched = 0

    @property
    def expected(self) -> list[str | None]:
        return [None if text is None else text[1] for text in reversed(self._texts)]

    def rows(self, sql: str, values: Sequence[Any], **_: Any) -> list[tuple[Any, ...]]:
        if "EXISTS" in sql:
            return [(0,)]
        (key,) = values
        self.asked.append(key)
        text = self._texts[key]
        return [] if key in self._gone else [(None if text is None else text[1],)]

    def batches(self, _: str, __: Any, size: int, schema: pa.Schema, **___: Any) -> Iterator[pa.RecordBatch]:
        self.fetched += 1
        encoding = (schema.field("t").metadata or {}).get(ENCODING)
        keys = list(reversed(range(len(self._texts))))
        for at in range(0, len(keys), size):
            some = keys[at : at + size]
            found = [self._texts[key] for key in some]
            try:
                texts = [text and (text[0].decode(encoding.decode()) if encoding else text[1]) for text in found]
            except UnicodeDecodeError as error:
                raise NotOfCodePage("t") from error
            yield pa.record_batch([pa.array(some, pa.int32()), pa.array(texts, pa.large_string())], ["id", "t"])


def reader(server: Stored, encoding: str, collation: str = "Latin1_General_CI_AS") -> PageReader:
    key = SqlColumn("id", "int", 4, 10, 0, nullable=False)
    text = SqlColumn("t", "varchar", 20, 0, 0, nullable=True, collation=collation)
    queries = TableQueries("t", (key, text), (key,), None, (), None)
    schema = pa.schema([pa.field(column.name, column.type.arrow) for column in queries.columns])
    connection: Any = server
    return PageReader("dbo.t", connection, queries, schema, SETTINGS, {"t": encoding})


def read(made: PageReader) -> list[str | None]:
    found = made.read([("", [])], 100)
    return [row["t"] for batch in found.batches for row in batch.to_pylist()]


@given(
    texts=st.lists(st.none() | st.lists(st.sampled_from(SINGLE_BYTES), max_size=4).map(b"".join), max_size=12),
    right=st.sampled_from(PAGES),
    named=st.sampled_from(["ascii", *PAGES]),
    gone=st.lists(st.integers(0, 11), max_size=3),
)
def test_text_of_another_code_page_than_named_arrives(
    texts: list[bytes | None], right: str, named: str, gone: list[int]
) -> None:
    """A view tells the collation that its column had when it was made; sent is the text in that which it has now."""
    texts = [text if text is None else bytes(b for b in text if decodes(b, right)) for text in texts]
    server = Stored(texts, right, gone)
    assert read(reader(server, named)) == server.expected
    assert server.fetched <= 2


def decodes(byte: int, code_page: str) -> bool:
    try:
        return len(bytes([byte]).decode(code_page)) == 1
    except UnicodeDecodeError:
        return False


def test_bytes_that_are_no_utf8_are_counted() -> None:
    """SPEC V1: the driver makes U+FFFD of them."""
    server = Stored([b"\xc3\xa9", b"\xc3", b"a", None, b"\xa9"], "utf-8")
    found = reader(server, "utf-8", "Latin1_General_100_CI_AS_SC_UTF8").read([("", [])], 100)
    assert [row["t"] for batch in found.batches for row in batch.to_pylist()] == server.expected
    assert found.halves == 2


def test_a_letter_that_the_code_pages_share_proves_nothing_of_the_others() -> None:
    """0xFE is ş in Turkish and þ in Latin; 0xE9 is é in both."""
    server = Stored([b"\xfe", b"\xe9"], "cp1254")
    assert read(reader(server, "cp1252")) == ["é", "ş"]


def test_a_row_that_is_gone_proves_nothing() -> None:
    server = Stored([b"\xfe"], "cp1254", gone=[0])
    assert read(reader(server, "cp1252")) == ["ş"]


def test_a_row_without_a_key_cannot_be_asked_for() -> None:
    """An incremental sync's own key may be NULL; bound as text, it would be an error to the server."""

    class Keyless(Stored):
        def batches(self, *arguments: Any, **named: Any) -> Iterator[pa.RecordBatch]:
            for batch in super().batches(*arguments, **named):
                yield batch.set_column(0, "id", pa.nulls(batch.num_rows, pa.int32()))

    server = Keyless([b"\xe9"], "cp1252")
    assert read(reader(server, "cp1252")) == ["é"]
    assert server.asked == []


def test_a_code_page_is_asked_after_until_no_other_makes_the_same() -> None:
    server = Stored([b"a", b"caf\xe9", b"\xe3o", "İ".encode("cp1254"), b"S\xe3o", None], "cp1254")
    made = reader(server, "cp1254")
    for _ in range(3):
        assert read(made) == server.expected
    assert sorted(server.asked) == [3, 4]
    assert server.fetched == 3


@pytest.mark.parametrize("named", [page for page in PAGES if page.startswith("cp125")])
def test_few_questions_prove_a_code_page(named: str) -> None:
    server = Stored([bytes([number]) for number in range(255, 0, -1) if decodes(number, named)][:90], named)
    made = reader(server, named)
    assert read(made) == server.expected
    assert len(server.asked) < 8
    assert server.fetched == 1


def test_a_driver_that_names_no_such_column_is_told() -> None:
    """A column that cannot be read otherwise would be read for ever."""

    class Odd(Stored):
        def batches(self, *_: Any, **__: Any) -> Iterator[pa.RecordBatch]:
            raise NotOfCodePage("T")

    with pytest.raises(NotOfCodePage):
        read(reader(Odd([b"\xe9"], "cp1252"), "cp1252"))


@given(st.lists(st.none() | st.text("aéşЖ€", max_size=6), max_size=9), st.text("éşЖ€", max_size=4))
def test_the_first_row_with_one_of_some_characters(texts: list[str | None], characters: str) -> None:
    found = arrow_values.first_with(pa.array(texts, pa.large_string()), characters)
    there = [character for character in characters if any(character in text for text in texts if text)]
    assert found == (next(at for at, text in enumerate(texts) if there[0] in (text or "")) if there else None)
