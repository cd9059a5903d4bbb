"""What `describe` says of an entity, and what an error looks like."""

from __future__ import annotations

import itertools
from typing import Any

from sandbox.wms.entities import Entity, Field

_references = itertools.count(1)


def described(entity: Entity) -> dict[str, Any]:
    """`parameters` and `fields` of one entity."""
    return {
        "parameters": [field.name for field in entity.fields if field.type not in ("clob", "text", "set")],
        "fields": {field.name: _field(field) for field in entity.fields},
    }


def _field(field: Field) -> dict[str, Any]:
    said: dict[str, Any] = {"type": "relation" if field.type == "set" else field.type}
    said["required"] = "X" if field.required else "N"
    if field.length is not None:
        said["max_length"] = field.length
        said["allow_blank"] = True
    if field.type == "decimal":
        said["max_digits"] = field.digits
        said["decimal_places"] = field.places
    return said


def error(code: str, message: str, details: object = None) -> dict[str, Any]:
    """The API's error form."""
    return {
        "reference": f"{next(_references):08x}-0000-4000-8000-000000000000",
        "code": code,
        "message": message,
        "details": details,
    }
