"""The tap's settings: those every Paralelo tap has, and those of a REST API that must not be hurt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from singer_sdk import typing as th
from sync_rules.singer.settings import PAGING, integer

MAX_PAGE_SIZE = 1250
"""The API's own limit."""
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_BY_MODE = {
    "request_timeout_seconds": {"full": 3_600, "incremental": 2_700},
    "batch_rows": {"full": 50_000, "incremental": 5_000},
}
_NOT_OURS = {"page_size", "page_bytes", "query_timeout_seconds"}

SETTINGS: dict[str, Any] = th.PropertiesList(
    th.Property(
        "base_url",
        th.StringType,
        required=True,
        title="Base URL",
        description="Address of the API up to, and without, `/wms`: `https://HOST/TENANT`.",
    ),
    th.Property("api_version", th.StringType, default="v10", title="API version", description="Version in the path."),
    th.Property(
        "allow_http",
        th.BooleanType,
        default=False,
        title="Allow http",
        description="Send credentials over plain http to a host that is not this machine.",
    ),
    th.Property("ca_file", th.StringType, title="CA file", description="Certificates to trust, in place of the usual."),
    th.Property("username", th.StringType, title="User", description="For Basic authentication."),
    th.Property("password", th.StringType, secret=True, title="Password", description="For Basic authentication."),
    th.Property(
        "token_url",
        th.StringType,
        title="Token URL",
        description="Where OAuth2 client credentials become a token; `client_id` and `client_secret` go with it.",
    ),
    th.Property("client_id", th.StringType, title="Client id", description="For OAuth2."),
    th.Property("client_secret", th.StringType, secret=True, title="Client secret", description="For OAuth2."),
    th.Property("token_scope", th.StringType, title="Token scope", description="OAuth2 scope, where one is needed."),
    th.Property(
        "entities",
        th.ArrayType(th.StringType),
        title="Entities",
        description="What to copy: `[allocation]`. Without it, every entity the API lists is described.",
    ),
    th.Property(
        "tables",
        th.ArrayType(th.StringType),
        title="Tables",
        description="The same as `entities`, by the name under which Paralelo's commands look for what is copied.",
    ),
    th.Property(
        "key_columns",
        th.ArrayType(th.StringType),
        default=["id"],
        title="Key columns",
        description="The API can be paged by one key only: `[id]`.",
    ),
    th.Property(
        "cursor_column",
        th.StringType,
        default="mod_ts",
        title="Cursor column",
        description="The modification timestamp.",
    ),
    th.Property(
        "page_size",
        integer(1, MAX_PAGE_SIZE),
        default=MAX_PAGE_SIZE,
        title="Page size",
        description="Rows in one answer; the API allows 1,250 at most.",
    ),
    th.Property(
        "page_mode",
        th.StringType(allowed_values=["sequenced", "paged"]),
        default="sequenced",
        title="Page mode",
        description="`sequenced`: the API counts nothing. `paged`: it counts the rows for each answer.",
    ),
    th.Property(
        "batch_rows",
        integer(1, 1_000_000),
        title="Batch rows",
        description="Most rows in a batch file. Default: 50,000 for full, 5,000 for incremental syncs.",
    ),
    th.Property(
        "page_bytes",
        integer(1, 2_000_000_000),
        default=16_777_216,
        title="Page bytes",
        description="A batch file is cut when it holds this many bytes, whatever its rows.",
    ),
    th.Property(
        "fields",
        th.ObjectType(additional_properties=True),
        title="Fields",
        description="Fields to read, by entity: `{allocation: [alloc_qty, status_id]}`. Key and cursor always come.",
    ),
    th.Property(
        "filters",
        th.ObjectType(additional_properties=True),
        title="Filters",
        description="Filters of the API, by entity: `{order_hdr: {status_id__lt: 90}}`.",
    ),
    th.Property(
        "types",
        th.ObjectType(additional_properties=True),
        title="Types",
        description="Types of fields where `describe` is wrong, by entity: `{allocation: {cust_nbr: text}}`.",
    ),
    th.Property(
        "facility",
        th.StringType,
        title="Facility",
        description="Code of the facility: sent as `facility_id__code` for entities that have a facility.",
    ),
    th.Property(
        "company",
        th.StringType,
        title="Company",
        description="Code of the company: sent as `company_id__code` for entities that have a company.",
    ),
    th.Property(
        "max_requests_in_flight",
        integer(1, 64),
        default=8,
        title="Requests in flight",
        description="At most so many requests at once to the host, over all jobs on this machine.",
    ),
    th.Property(
        "requests_per_second",
        th.NumberType(exclusive_minimum=0, maximum=10_000),
        default=50,
        title="Requests per second",
        description="At most so many requests a second to the host, over all jobs on this machine.",
    ),
    th.Property(
        "limits_root",
        th.StringType,
        title="Limits root",
        description="Folder by which jobs on this machine share the two limits. Default: `.paralelo/limits` in the"
        " Meltano project, else the temporary folder.",
    ),
    th.Property(
        "request_timeout_seconds",
        integer(1, 86_400),
        title="Request time-out",
        description="Most seconds for one request, to the last byte of its answer. Default: 3,600 for full, 2,700 for"
        " incremental syncs.",
    ),
    th.Property(
        "connect_timeout_seconds",
        integer(1, 3_600),
        default=300,
        title="Connect time-out",
        description="Most seconds for a connection to open.",
    ),
    th.Property(
        "retries", integer(0, 100), default=5, title="Retries", description="How often a failed request is repeated."
    ),
    th.Property(
        "retry_wait_seconds",
        th.NumberType(minimum=0, maximum=3_600),
        default=1,
        title="Retry wait",
        description="The first wait before a repetition; it doubles, up to a minute, with jitter.",
    ),
    th.Property(
        "check_count",
        th.BooleanType,
        default=True,
        title="Check the count",
        description="After a full sync, ask the API for its count and refuse to end well when rows were not answered.",
    ),
    th.Property(
        "describe_cache_minutes",
        integer(0, 10_080),
        default=60,
        title="Describe cache",
        description="How long discovery may use an earlier answer of `describe`. A sync always asks afresh.",
    ),
    *(one for one in PAGING if one.name not in _NOT_OURS),
).to_dict()


def problems(config: Mapping[str, Any]) -> list[str]:
    """Settings that only together are wrong, one sentence each; and the defaults that depend on the mode."""
    found = []
    for name in ("base_url", "token_url"):
        if config.get(name):
            found += _address_problems(name, str(config[name]), bool(config.get("allow_http")))
    if str(config.get("base_url") or "").rstrip("/").endswith("/wms"):
        found.append("setting base_url must end before /wms, which is added: https://HOST/TENANT")
    if config.get("token_url"):
        found += [f"setting {name} is missing" for name in ("client_id", "client_secret") if not config.get(name)]
    else:
        found += [f"setting {name} is missing" for name in ("username", "password") if not config.get(name)]
    if list(config.get("key_columns") or ["id"]) != ["id"]:
        found.append("setting key_columns must be [id]: the API can be paged by no other key")
    if config.get("entities") and config.get("tables"):
        found.append("settings entities and tables are the same: set one of them")
    for name in ("entities", "tables"):
        found += [
            f"setting {name}: {str(one)[:60]!r} is no entity's name: letters, digits and _ only"
            for one in config.get(name) or ()
            if not is_entity(str(one))
        ]
    for name in ("fields", "filters", "types"):
        wanted = list if name == "fields" else dict
        found += [
            f"setting {name}.{entity} must be a {'list' if wanted is list else 'mapping'}"
            for entity, value in (config.get(name) or {}).items()
            if not isinstance(value, wanted)
        ]
    return found


def by_mode(config: Mapping[str, Any], name: str) -> int:
    """A setting whose default depends on `sync_mode`."""
    return int(config.get(name) or _BY_MODE[name][config["sync_mode"]])


def is_entity(name: str) -> bool:
    """Whether it can be an entity's name: it becomes a part of the address, where others would lead elsewhere."""
    return re.fullmatch(r"[A-Za-z0-9_]+", name) is not None


def is_loopback(host: str | None) -> bool:
    """Whether the host is this machine."""
    return host in _LOOPBACK


def _address_problems(name: str, address: str, allow_http: bool) -> list[str]:
    if not address.isprintable() or " " in address:
        return [f"setting {name} must hold no spaces and no control characters"]
    try:
        split = urlsplit(address)
        host, _ = split.hostname, split.port
    except ValueError:
        return [f"setting {name} is no address"]
    if split.scheme not in ("http", "https") or not host:
        return [f"setting {name} must be an address that starts with https://"]
    if split.username or split.password:
        return [f"setting {name} must hold no credentials: there are settings for them"]
    if split.query or split.fragment:
        return [f"setting {name} must end with its path"]
    if split.scheme == "http" and not is_loopback(host) and not allow_http:
        return [f"setting {name} must start with https://: credentials would be readable on the way (see allow_http)"]
    return []
