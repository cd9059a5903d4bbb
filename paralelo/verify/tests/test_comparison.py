from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from paralelo.verify.comparison import compare, rows_of_keys

SCHEMA = pa.schema([("k", pa.int64()), ("t", pa.large_string()), ("f", pa.float64())])
FLOATS = st.sampled_from([None, 0.0, -0.0, 1.5])
ROW = st.tuples(st.integers(0, 6), st.sampled_from([None, "", "a", "A", "a "]), FLOATS)


def table(rows: Any) -> Any:
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(SCHEMA.names)}, SCHEMA)


def tuples(found: Any) -> Any:
    """Rows as they differ: -0.0 is not 0.0."""
    return [(row["k"], row["t"], repr(row["f"])) for row in found.to_pylist()]


def plain(rows: Any) -> Any:
    return [(k, t, repr(f)) for k, t, f in rows]


@given(
    st.lists(ROW, max_size=12, unique_by=lambda row: row[0]), st.lists(ROW, max_size=12, unique_by=lambda row: row[0])
)
def test_unique_keys_give_exactly_the_rows_that_differ(left: Any, right: Any) -> None:
    found = compare(table(left), table(right), ["k"])
    source, target = {row[0]: row for row in plain(left)}, {row[0]: row for row in plain(right)}
    assert sorted(tuples(found.missing), key=repr) == sorted((source[k] for k in source.keys() - target), key=repr)
    assert sorted(tuples(found.extra), key=repr) == sorted((target[k] for k in target.keys() - source), key=repr)
    different = {k for k in source.keys() & target if source[k] != target[k]}
    assert {row[0] for row in tuples(found.source)} == different
    for place, (mine, theirs) in enumerate(zip(tuples(found.source), tuples(found.target), strict=True)):
        assert mine[0] == theirs[0]
        assert [bool(cell[place]) for cell in found.cells] == [a != b for a, b in zip(mine, theirs, strict=True)]


@given(st.lists(ROW, max_size=12), st.lists(ROW, max_size=12))
def test_without_a_key_rows_are_compared_as_a_multiset(left: Any, right: Any) -> None:
    found = compare(table(left), table(right), [])
    source: Counter[Any] = Counter(plain(left))
    target: Counter[Any] = Counter(plain(right))
    assert Counter(tuples(found.missing)) == source - target
    assert Counter(tuples(found.extra)) == target - source
    assert found.source.num_rows == 0


@given(st.lists(ROW, max_size=12), st.lists(ROW, max_size=12))
def test_repeated_keys_make_no_more_differences_than_there_are(left: Any, right: Any) -> None:
    found = compare(table(left), table(right), ["k"])
    source: Counter[Any] = Counter(plain(left))
    target: Counter[Any] = Counter(plain(right))
    gone, come = sum((source - target).values()), sum((target - source).values())
    assert found.missing.num_rows + found.source.num_rows == gone
    assert found.extra.num_rows + found.source.num_rows == come
    assert found.equal == (source == target)


@given(st.lists(ROW, max_size=12), st.randoms())
def test_order_does_not_matter(rows: Any, random: Any) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert compare(table(rows), table(shuffled), ["k"]).equal


def test_a_nan_is_the_same_as_itself() -> None:
    assert compare(table([(1, "a", float("nan"))]), table([(1, "a", float("nan"))]), ["k"]).equal


@given(st.lists(ROW, max_size=12), st.sets(st.integers(0, 6)))
def test_rows_of_keys(rows: Any, wanted: Any) -> None:
    keys = pa.table({"k": sorted(wanted)}, pa.schema([("k", pa.int64())]))
    assert tuples(rows_of_keys(table(rows), keys, ["k"])) == [row for row in plain(rows) if row[0] in wanted]
