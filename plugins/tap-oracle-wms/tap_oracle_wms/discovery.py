"""What entities there are and what they look like. Discovery may use an earlier answer; a sync asks afresh."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from sync_rules.exits import ConfigurationError

from tap_oracle_wms.client import Answer, Client
from tap_oracle_wms.errors import BadAnswer, Passing
from tap_oracle_wms.fields import EntityDescription, is_description, read_description
from tap_oracle_wms.limiter import limits_root
from tap_oracle_wms.links import next_query
from tap_oracle_wms.settings import is_entity

_MOST_PAGES = 1_000


def entities(client: Client) -> list[str]:
    """Every entity the API lists: a mapping, a list, or pages of a list. Raises BadAnswer for pages without an end."""
    found: list[str] = []
    query: str | None = ""
    asked: set[str] = set()
    while query is not None:
        if query in asked or len(asked) >= _MOST_PAGES:
            raise BadAnswer("the list of entities: next_page leads back to a page that was answered, or never ends")
        asked.add(query)
        names, query = client.get("the list of entities", "", query or None, _names, empty=None) or ([], None)
        found += names
    return sorted(set(found))


def describe(client: Client, entity: str, config: Mapping[str, Any], *, fresh: bool = True) -> EntityDescription:
    """One entity; with `fresh` false an answer that is not older than `describe_cache_minutes` will do."""
    if not is_entity(entity):
        raise ConfigurationError(f"{entity[:60]!r} is no entity's name: letters, digits and _ only")
    cache = _cache_file(config, entity)
    body = None if fresh else _cached(cache, 60.0 * float(config["describe_cache_minutes"]))
    if body is None or not is_description(body):
        body = client.get(f"describe of {entity}", f"{entity}/describe/", None, _description, empty=b"")
        if not body:
            raise ConfigurationError(f"the API knows no entity {entity}, or this user may not read it")
        _keep(cache, body)
    return read_description(entity, body, (config.get("types") or {}).get(entity))


def _description(answer: Answer) -> bytes:
    """The body, for the cache too. Raises Passing for what is no description: it would stay wrong for an hour."""
    if not is_description(answer.body):
        raise Passing("an answer to describe that describes no fields")
    return bytes(answer.body)


def _names(answer: Answer) -> tuple[list[str], str | None] | None:
    try:
        said = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Passing("an answer whose JSON is not whole") from error
    following = None
    if isinstance(said, dict) and isinstance(said.get("results"), list):
        following = next_query(said.get("next_page"), answer.address)
        said = said["results"]
    if isinstance(said, dict) and all(isinstance(address, str) and "/" in address for address in said.values()):
        return [name for name in map(str, said) if is_entity(name)], following
    if isinstance(said, list):
        return [name for name in map(_name, said) if name and is_entity(name)], following
    raise Passing("an answer that is no list of entities")


def _name(said: object) -> str | None:
    if isinstance(said, dict):
        said = said.get("name") or said.get("entity")
    return said if isinstance(said, str) else None


def _cache_file(config: Mapping[str, Any], entity: str) -> Path:
    """One file for each host, user and entity: what one user may see another may not."""
    who = [config["base_url"], config["api_version"], config.get("username"), config.get("client_id"), entity]
    return limits_root(config) / "describe" / f"{hashlib.sha256(msgspec.json.encode(who)).hexdigest()[:24]}.json"


def _cached(path: Path, seconds: float) -> bytes | None:
    try:
        # One from the future is of no known age: the machine's clock was put back.
        return path.read_bytes() if 0 <= time.time() - path.stat().st_mtime < seconds else None
    except OSError:
        return None


def _keep(path: Path, body: bytes) -> None:
    """Whole or not at all, and not at all where there is no place for it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        unfinished.write_bytes(body)
        unfinished.replace(path)
    except OSError:
        return
