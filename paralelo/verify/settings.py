"""The connections' settings: from the environment and the project's `.env`, by the names Meltano gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sync_rules.exits import ConfigurationError
from tap_mssql.settings import SETTINGS
from target_postgres.settings import CONFIG_SCHEMA, Settings

SOURCE_PREFIX = "TAP_MSSQL_"
TARGET_PREFIX = "TARGET_POSTGRES_"

_TRUE = ("1", "true", "yes", "on")


def source_config(env: Mapping[str, str]) -> dict[str, Any]:
    """The tap's connection settings. Raises ConfigurationError where the server or the database is missing."""
    config = typed(env, SOURCE_PREFIX, SETTINGS["properties"])
    if not config.get("dsn"):
        _require(config, SOURCE_PREFIX, "host", "database")
    return config


def target_settings(env: Mapping[str, str]) -> Settings:
    """The target's settings. Raises ConfigurationError where the server, the role or the database is missing."""
    config = typed(env, TARGET_PREFIX, CONFIG_SCHEMA.to_dict()["properties"])
    _require(config, TARGET_PREFIX, "host", "user", "database")
    return Settings.of(config)


def nul_replacement(settings: Settings, table: str, own: Mapping[str, Any]) -> str | None:
    """What the target has written for a NUL character; None where it refuses such rows. `own` are the table's rules."""
    rules = settings.rules_for(table, own)
    return {"replace": rules.nul_replacement, "strip": ""}.get(rules.nul_characters)


def typed(env: Mapping[str, str], prefix: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with this prefix, in the types of the plugin's own schema; lists and the like are left to it."""
    config: dict[str, Any] = {}
    for name, described in schema.items():
        text = env.get(f"{prefix}{name.upper()}")
        if text is None or text == "":
            continue
        kinds = described.get("type", "string")
        kinds = [kinds] if isinstance(kinds, str) else kinds
        try:
            if "boolean" in kinds:
                config[name] = text.strip().lower() in _TRUE
            elif "integer" in kinds:
                config[name] = int(text)
            elif "number" in kinds:
                config[name] = float(text)
            elif "string" in kinds:
                config[name] = text
        except ValueError as error:
            raise ConfigurationError(f"{prefix}{name.upper()} must be a number") from error
    return config


def _require(config: Mapping[str, Any], prefix: str, *names: str) -> None:
    missing = [f"{prefix}{name.upper()}" for name in names if not config.get(name)]
    if missing:
        raise ConfigurationError(f"not set, and needed: {', '.join(missing)}; see .env.example, and `make sandbox-up`")
