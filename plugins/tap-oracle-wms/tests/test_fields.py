"""Reading `describe`: leniently, and never into a type that holds less."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sync_rules.exits import ConfigurationError
from tap_oracle_wms.choices import choose
from tap_oracle_wms.fields import is_description, read_description
from tap_oracle_wms.query import filters_of

CONFIG = {"cursor_column": "mod_ts", "sync_mode": "full", "page_size": 10, "page_mode": "sequenced"}


def columns(fields: Any, **types: str) -> dict[str, str]:
    description = read_description("thing", json.dumps(fields).encode(), types)
    return {part.column.name: str(part.column.type) for part in description.parts}


def test_every_type_the_api_names() -> None:
    assert columns(
        {
            "parameters": ["id"],
            "fields": {
                "id": {"type": "pk", "required": "X"},
                "code": {"type": "varchar", "max_length": 25},
                "kind": {"type": "char", "max_length": "2"},
                "note": {"type": "clob", "max_length": 4000},
                "qty": {"type": "decimal", "max_digits": 18, "decimal_places": 5},
                "weight": {"type": "number"},
                "volume": {"type": "number", "max_digits": 12},
                "huge": {"type": "decimal", "max_digits": 50, "decimal_places": 2},
                "seq": {"type": "integer"},
                "flg": {"type": "boolean"},
                "mod_ts": {"type": "datetime"},
                "day": {"type": "date"},
                "hour": {"type": "time"},
                "item_id": {"type": "relation"},
                "uom": {"type": "relation"},
                "line_set": {"type": "relation"},
                "odd": {"type": "geometry"},
            },
        }
    ) == {
        "id": "bigint",
        "code": "varchar(25)",
        "kind": "varchar(2)",
        "note": "text",
        "qty": "decimal(18,5)",
        "weight": "decimal(38,10)",
        "volume": "decimal(38,10)",
        "huge": "decimal(38,2)",
        "seq": "bigint",
        "flg": "boolean",
        "mod_ts": "timestamp(6) with time zone",
        "day": "date",
        "hour": "time(6)",
        "item_id": "bigint",
        "item_key": "text",
        "uom_id": "bigint",
        "uom_key": "text",
        "line_set_count": "bigint",
        "odd": "text",
    }


@pytest.mark.parametrize(
    "said",
    [
        {"fields": [{"name": "id", "type": "PK"}, {"name": "a", "type": " VarChar "}, {"type": "date"}, 7]},
        {"fields": {"id": "pk", "a": {}}},
        {"id": {"type": "integer"}, "a": {"type": None}},
        [{"name": "id", "type": "bigint"}, {"name": "a"}],
    ],
)
def test_other_shapes_are_read(said: Any) -> None:
    assert columns(said) == {"id": "bigint", "a": "text"}


def test_unknown_types_are_named() -> None:
    description = read_description("thing", b'{"fields": {"id": {"type": "pk"}, "a": {"type": "blob"}}}')
    assert description.unknown == ("a",)


def test_a_relations_key_gives_way_to_a_field_of_that_name() -> None:
    fields = {"id": {"type": "pk"}, "item_id": {"type": "relation"}, "item_key": {"type": "varchar"}}
    assert list(columns({"fields": fields})) == ["id", "item_id", "item_id_key", "item_key"]


def test_two_fields_of_one_column_are_refused_unless_one_is_left_out() -> None:
    description = read_description("thing", b'{"fields": {"id": "pk", "a": "relation", "a_id": "integer"}}')
    with pytest.raises(ConfigurationError, match="two fields would become the column a_id"):
        choose(description, CONFIG, lambda _: True)
    chosen = choose(description, {**CONFIG, "fields": {"thing": ["a_id"]}}, lambda _: True)
    assert [(part.column.name, part.field.name) for part in chosen.parts] == [("id", "id"), ("a_id", "a_id")]


@pytest.mark.parametrize(
    ("filters", "sent"),
    [
        ({}, {"facility_id__code": "F1"}),
        (
            {"dest_facility_id__code": "X", "facility_note": "y"},
            {"dest_facility_id__code": "X", "facility_note": "y", "facility_id__code": "F1"},
        ),
        ({"facility_id__code__in": "F1,F2"}, {"facility_id__code__in": "F1,F2"}),
        ({"facility_id": 7}, {"facility_id": "7"}),
    ],
)
def test_the_facility_is_left_out_only_for_a_filter_of_its_own(filters: dict[str, Any], sent: dict[str, str]) -> None:
    fields = b'{"fields": {"id": "pk", "facility_id": "relation", "dest_facility_id": "relation"}}'
    config = {"facility": "F1", "filters": {"thing": filters}}
    assert filters_of(config, read_description("thing", fields)) == sent


def test_filters_are_sent_as_the_api_writes_values() -> None:
    filters = {"is_picking_flg": True, "is_new": False, "status_id__in": [10, 20, "x"], "code": "a b"}
    sent = filters_of({"filters": {"thing": filters}}, read_description("thing", b'{"fields": {"id": "pk"}}'))
    assert sent == {"is_picking_flg": "true", "is_new": "false", "status_id__in": "10,20,x", "code": "a b"}


def test_an_entity_without_facility_is_filtered_by_that_of_its_relations() -> None:
    description = read_description("thing", b'{"fields": {"id": "pk", "order_id": "relation"}}')
    own = {"order_id__facility_id__code": "F1"}
    assert filters_of({"facility": "F1", "filters": {"thing": own}}, description) == own


@pytest.mark.parametrize(
    ("body", "is_one"),
    [
        (b'{"fields": {"id": "pk"}}', True),
        (b'{"fields": {"code": "varchar"}}', True),
        (b'[{"name": "id", "type": "pk"}]', True),
        (b'{"id": {"type": "pk"}}', True),
        (b'{"parameters": [], "fields": {"id": {"ty', False),
        (b'{"message": "The system is being upgraded"}', False),
        (b'{"fields": {}}', False),
        (b"[]", False),
        (b"\xff", False),
    ],
)
def test_a_description_is_told_from_what_a_server_says_instead(body: bytes, is_one: bool) -> None:
    assert is_description(body) == is_one


def test_types_can_be_said_better() -> None:
    fields = {"fields": {"id": {"type": "pk"}, "a": {"type": "integer"}}}
    assert columns(fields, a="decimal(20,4)")["a"] == "decimal(20,4)"
    with pytest.raises(ConfigurationError, match="names b, which thing has not"):
        columns(fields, b="text")
    with pytest.raises(ConfigurationError, match="is no type"):
        columns(fields, a="decimal")
    with pytest.raises(ConfigurationError, match="not one of"):
        columns(fields, a="timestamp(6)")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "no JSON"),
        (b"{}", "names no fields"),
        (b'{"fields": {"code": {"type": "varchar"}}}', "no whole number id"),
        (b'{"fields": {"id": {"type": "decimal"}}}', "no whole number id"),
    ],
)
def test_what_cannot_be_read_is_said(body: bytes, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read_description("thing", body)


def test_a_text_longer_than_postgresql_bounds_one_has_no_bound() -> None:
    fields = {"id": {"type": "pk"}, "a": {"type": "varchar", "max_length": 10_485_760}}
    assert columns({"fields": fields})["a"] == "varchar(10485760)"
    fields["a"]["max_length"] = 10_485_761
    assert columns({"fields": fields})["a"] == "text"


@pytest.mark.parametrize("name", ['a"b', "a\0", "a\nb", "a\\b"])
def test_what_is_no_name_of_a_field_is_told(name: str) -> None:
    with pytest.raises(ConfigurationError, match="no name of a field"):
        columns({"fields": {"id": {"type": "pk"}, name: {"type": "integer"}}})
