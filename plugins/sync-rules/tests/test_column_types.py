"""The neutral types: what is written is read back; what is not a type is refused."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sync_rules.column_types import ColumnType

TYPES = st.one_of(
    st.sampled_from(["boolean", "smallint", "integer", "bigint", "real", "double precision", "text", "varbinary"]).map(
        ColumnType
    ),
    st.sampled_from(["date", "uuid", "json"]).map(ColumnType),
    st.builds(ColumnType, st.sampled_from(["char", "varchar"]), length=st.integers(1, 8000)),
    st.builds(
        ColumnType, st.sampled_from(["time", "timestamp", "timestamp with time zone"]), precision=st.integers(0, 6)
    ),
    st.integers(1, 38).flatmap(
        lambda digits: st.builds(
            ColumnType, st.just("decimal"), precision=st.just(digits), scale=st.integers(0, digits)
        )
    ),
)


@given(TYPES)
def test_a_type_is_read_back_as_it_was_written(kind: ColumnType) -> None:
    assert ColumnType.parse(str(kind)) == kind
    assert isinstance(kind.arrow, pa.DataType)
    assert kind.json_schema(nullable=True)["x-column-type"] == str(kind)
    assert kind.json_schema(nullable=True)["type"][1] == "null"
    assert len(kind.json_schema(nullable=False)["type"]) == 1


@pytest.mark.parametrize(
    "spelling",
    [
        *("", "money", "varchar", "varchar(0)", "varchar(3,2)", "decimal(39,0)", "decimal(5,6)", "decimal(5)"),
        *("time(7)", "bigint(3)", "date with time zone", "timestamp(6,1)", "text; drop table x"),
    ],
)
def test_what_is_no_type_is_refused(spelling: str) -> None:
    with pytest.raises(ValueError, match="not a column type"):
        ColumnType.parse(spelling)
