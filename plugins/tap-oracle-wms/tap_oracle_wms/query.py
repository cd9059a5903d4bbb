"""The queries this tap sends. Every list is ordered; only a sync's very first look is without a filter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sync_rules.exits import ConfigurationError

from tap_oracle_wms.fields import EntityDescription

_OF_THE_SYNC = ("ordering", "page_size", "page_mode", "page", "cursor", "fields", "format")


@dataclass(frozen=True)
class ListQuery:
    """What every list request of an entity has in common: the operator's filters, the fields, the page size."""

    page_size: int
    page_mode: str
    filters: Mapping[str, str] = field(default_factory=dict)
    fields: tuple[str, ...] | None = None

    def ask(self, ordering: str, **bounds: object) -> dict[str, str]:
        """A query; bounds that are None are left out. A bound stands over a filter of the same name only if it is new.

        Raises ConfigurationError where the operator's filter and the sync's bound have one name: the API keeps the
        last of two, so one of them would be lost.
        """
        query = dict(self.filters)
        for name, value in bounds.items():
            if value is None:
                continue
            if name in query:
                raise ConfigurationError(f"the filter {name} is one the sync itself needs: use another operator")
            query[name] = str(value)
        if self.fields is not None:
            query["fields"] = ",".join(self.fields)
        return {**query, "ordering": ordering, "page_size": str(self.page_size), "page_mode": self.page_mode}

    def count(self, **bounds: object) -> dict[str, str]:
        """A query whose answer holds the count: one id of one page, in the mode that counts."""
        return {
            **self.ask("id", **bounds),
            "fields": "id",
            "page_size": "1",
            "page_mode": "paged",
        }


def filters_of(config: Mapping[str, Any], description: EntityDescription) -> dict[str, str]:
    """The filters for an entity: its own, and the facility's and company's where the entity has one.

    Raises ConfigurationError where facility or company is set and the entity cannot be filtered by it: reading other
    facilities' rows in silence would be worse.
    """
    entity = description.name
    own = {str(k): _written(v) for k, v in ((config.get("filters") or {}).get(entity) or {}).items()}
    for name in own:
        if name in _OF_THE_SYNC:
            raise ConfigurationError(f"setting filters.{entity}: {name} is no filter")
    for setting in ("facility", "company"):
        code = config.get(setting)
        if not code:
            continue
        has_it = description.field(f"{setting}_id") is not None
        # Where the entity has one, another's filter (dest_facility_id__code) does not stand for its own.
        if any(name.partition("__")[0] == f"{setting}_id" if has_it else setting in name for name in own):
            continue
        if not has_it:
            raise ConfigurationError(
                f"setting {setting}: {entity} has no {setting}_id; say in filters.{entity} by which of its relations"
                f" the {setting} is found, or leave {setting} out"
            )
        own[f"{setting}_id__code"] = str(code)
    return own


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(_written(one) for one in value)
    return str(value)
