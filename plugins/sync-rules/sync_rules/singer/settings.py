"""The settings every Paralelo tap has, and telling in words which setting is wrong."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dotenv import find_dotenv, load_dotenv
from singer_sdk import typing as th
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.plugin_base import PluginBase
from singer_sdk.typing import DEFAULT_JSONSCHEMA_VALIDATOR, extend_validator_with_defaults

from sync_rules.exits import ConfigurationError

DEFAULTS_BY_MODE: dict[str, dict[str, int]] = {
    "page_size": {"full": 50_000, "incremental": 5_000},
    "query_timeout_seconds": {"full": 3_600, "incremental": 2_700},
    "sync_limit_seconds": {"full": 10_800, "incremental": 5_400},
}
"""Settings whose default depends on `sync_mode`."""

BATCH_CONFIG = th.Property(
    "batch_config",
    th.ObjectType(
        th.Property(
            "encoding",
            th.ObjectType(
                th.Property("format", th.StringType(allowed_values=["arrow"]), required=True, description="`arrow`."),
                th.Property("compression", th.StringType(allowed_values=["none"]), description="`none`."),
            ),
            required=True,
            description="How the files are encoded: Arrow IPC file format.",
        ),
        th.Property("storage", th.ObjectType(), description="Not used: see `batch_root`."),
        th.Property("batch_size", th.IntegerType, description="Not used: see `page_size`."),
    ),
    title="Batch files",
    description="With `{encoding: {format: arrow}}` rows go as Arrow files; without it as RECORD lines.",
)


def integer(minimum: int, maximum: int) -> th.IntegerType:
    """An integer setting with its bounds."""
    return th.IntegerType(minimum=minimum, maximum=maximum)


PAGING: tuple[th.Property[Any], ...] = (
    th.Property(
        "sync_mode",
        th.StringType(allowed_values=["full", "incremental"]),
        default="full",
        title="Sync mode",
        description="`full`: every row, newest first. `incremental`: rows whose cursor changed since the last run.",
    ),
    th.Property(
        "lookback_minutes",
        integer(0, 10_080),
        default=30,
        title="Lookback",
        description="Minutes before the bookmark at which an incremental sync starts to read.",
    ),
    th.Property(
        "start_date",
        th.StringType,
        title="Start date",
        description="Where the first incremental sync starts when no full sync went before: ISO 8601.",
    ),
    th.Property(
        "full_sync_state_id",
        th.StringType,
        title="State id of the full sync",
        description="Under Meltano, the state that holds the full sync's bookmark: where the first incremental starts.",
    ),
    th.Property(
        "meltano_executable",
        th.StringType,
        title="Meltano executable",
        description="The program that is asked for that state. Default: the one that started this tap, else `meltano`.",
    ),
    th.Property(
        "page_size",
        integer(1, 1_000_000),
        title="Page size",
        description="Most rows in a batch. Default: 50,000 for full, 5,000 for incremental syncs.",
    ),
    th.Property(
        "page_bytes",
        integer(1, 2_000_000_000),
        default=67_108_864,
        title="Page bytes",
        description="A batch is cut when it holds this many bytes, whatever its rows.",
    ),
    th.Property(
        "query_timeout_seconds",
        integer(1, 86_400),
        title="Query time-out",
        description="Most seconds for one query. Default: 3,600 for full, 2,700 for incremental syncs.",
    ),
    th.Property(
        "sync_limit_seconds",
        integer(1, 604_800),
        title="Whole-sync limit",
        description="Most seconds for the whole sync; it ends cleanly at a page, with exit code 6, and the next run"
        " goes on. Default: 10,800 for full, 5,400 for incremental syncs.",
    ),
    th.Property(
        "max_batches_ahead",
        integer(1, 1_000),
        default=6,
        title="Batches ahead",
        description="How many batch files may wait for the target.",
    ),
    th.Property(
        "batch_patience_seconds",
        integer(1, 86_400),
        default=3_600,
        title="Batch patience",
        description="How long to wait for the target to take a batch file before giving up with exit code 9.",
    ),
    th.Property(
        "batch_root",
        th.StringType,
        title="Batch root",
        description="Folder for batch files. Default: `.paralelo/batches` in the Meltano project, else the temporary"
        " folder.",
    ),
    th.Property(
        "load",
        th.ObjectType(additional_properties=True),
        title="Load rules",
        description="This table's own rules for target-postgres, over the target's settings (`activation`,"
        " `stale_rows`, ...).",
    ),
    BATCH_CONFIG,
)

_Validator = extend_validator_with_defaults(DEFAULT_JSONSCHEMA_VALIDATOR)


def check(config: dict[str, Any], schema: Mapping[str, Any], settings_of: str) -> list[str]:
    """Fill in defaults and return what is wrong, one sentence each, never showing a secret's value."""
    properties = schema.get("properties", {})
    secrets = {name for name, described in properties.items() if described.get("secret")}
    for name in [name for name, value in config.items() if value is None]:
        del config[name]
    read_numbers(config, properties)
    problems = [_sentence(error, secrets) for error in _Validator(schema).iter_errors(config)]
    unknown = sorted(set(config) - set(properties))
    problems += [f"{settings_of} has no setting {name}" for name in unknown if not name.startswith("_")]
    mode = config.get("sync_mode", "full")
    for name, by_mode in DEFAULTS_BY_MODE.items():
        if name in properties and mode in by_mode:
            config.setdefault(name, by_mode[mode])
    return problems


def read_numbers(config: dict[str, Any], properties: Mapping[str, Any]) -> None:
    """Make numbers of the texts that stand where a number belongs; what is no number stays, and is refused as such.

    Meltano 4.4 makes a Decimal of an environment variable whose setting is declared as one, and then cannot write it
    into the plugin's configuration: number settings are declared as text there, and arrive as text.
    """
    for name, described in properties.items():
        value, kinds = config.get(name), described.get("type", ())
        if isinstance(value, str) and "number" in kinds and "string" not in kinds:
            with contextlib.suppress(ValueError):
                number = float(value)
                if math.isfinite(number):
                    config[name] = number


def refuse(problems: Iterable[str]) -> None:
    """Raise ConfigurationError with every problem, where there is one."""
    found = list(problems)
    if found:
        raise ConfigurationError("; ".join(found))


def _sentence(error: Any, secrets: set[str]) -> str:
    """What jsonschema found, in a sentence that names the setting."""
    setting = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        where = f" in {setting}" if setting else ""
        return f"setting {', '.join(missing)} is missing{where}"
    shown = "its value" if setting.partition(".")[0] in secrets else repr(error.instance)[:80]
    limits = {
        "minimum": f"at least {error.validator_value}",
        "maximum": f"at most {error.validator_value}",
        "enum": f"one of {', '.join(str(value) for value in error.validator_value)}"
        if error.validator == "enum"
        else "",
        "type": f"of type {_types(error.validator_value)}",
    }
    wanted = limits.get(error.validator, f"valid ({error.validator})")
    return f"setting {setting} must be {wanted}, not {shown}"


def _types(wanted: object) -> str:
    kinds = wanted if isinstance(wanted, list) else [wanted]
    return " or ".join(str(kind) for kind in kinds if kind != "null")


def from_environment(plugin: type[PluginBase]) -> dict[str, Any]:
    """The settings of `--config ENV`: from the environment and, where that has none, from the nearest `.env`.

    Meltano's order, and that of the scripts. The SDK lets the file win: rows would go to a database that nobody named.
    """
    load_dotenv(find_dotenv(), override=False)
    schema = plugin.config_jsonschema
    plugin.append_builtin_config(schema)
    return parse_environment_config(schema, plugin._env_var_prefix, dotenv_path=os.devnull)


def batch_root(config: Mapping[str, Any]) -> Path:
    """The folder below which each run makes its own."""
    if config.get("batch_root"):
        return Path(config["batch_root"])
    project = os.environ.get("MELTANO_PROJECT_ROOT")
    if project:
        return Path(project) / ".paralelo" / "batches"
    return Path(tempfile.gettempdir()) / f"paralelo-batches-{os.getuid()}"
