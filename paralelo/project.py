"""The Meltano project as the operator's commands see it: which tables there are, and the jobs that copy them.

Read from `extract/*.meltano.yml`, so adding a table there is all it takes.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from sync_rules.exits import ConfigurationError
from tap_mssql.discovery import TableName
from target_postgres.names import table_of

Mode = Literal["full", "incremental"]
MODES: tuple[Mode, ...] = ("full", "incremental")
QUERY_SECONDS: Mapping[Mode, int] = {"full": 3_600, "incremental": 2_700}
"""The taps' `query_timeout_seconds`; theirs is not asked, for it would load all of singer-sdk."""
_PLACES = ("host", "dsn", "path", "base_url")
"""The taps' settings that say where a source is."""
_OWN = (
    *_PLACES, "port", "database", "user", "password", "encrypt", "trust_server_certificate", "driver", "odbc_driver",
    "load",
)  # fmt: skip
"""What leads to a source's rows, and how they are loaded: a table may have its own."""
_Chain = list[tuple[str, Mapping[str, Any]]]
"""An extractor and what it inherits from, nearest first: the name of each and what its file sets."""


@dataclass(frozen=True)
class Table:
    """One table to copy.

    `name` is how jobs spell it (`bi-credores`), `source` how the source does (`dbo.bi_credores`), `target` how the
    target does (`bi_credores`), `stream` how the tap does, but for the case. `jobs` and `extractors` hold one Meltano
    name for each mode the table has. `placed` is whether the project's files themselves say where its source is.
    `select` holds the patterns of its extractor, as Meltano reads them.
    """

    name: str
    source: str
    target: str
    stream: str
    jobs: Mapping[str, str]
    extractors: Mapping[str, str]
    key_columns: tuple[str, ...] = ()
    cursor_column: str | None = None
    loader: str = "target-postgres"
    plugin: str = ""
    placed: bool = False
    select: tuple[str, ...] = ()

    def configured(self, settings: Mapping[str, str]) -> bool:
        """Whether its source has any setting: a project may hold sources that a site does not use."""
        prefix = variable(self.plugin, "")
        return self.placed or any(name.startswith(prefix) and value for name, value in settings.items())

    def query_seconds(self, mode: Mode, settings: Mapping[str, str]) -> float:
        """How long one query to its source may take; 0 for a source that answers page by page."""
        if self.plugin not in ("tap-mssql", "tap-sqlite"):
            return 0.0
        for plugin in (self.extractors.get(mode, ""), self.plugin):
            given = settings.get(variable(plugin, "query_timeout_seconds"), "")
            if given.isdigit():
                return float(given)
        return float(QUERY_SECONDS[mode])

    def job(self, mode: Mode) -> str:
        """The job for a mode. Raises ConfigurationError where the table has none."""
        if mode not in self.jobs:
            raise ConfigurationError(f"{self.name} has no {mode} job: see its file under extract/")
        return self.jobs[mode]

    def state_id(self, mode: Mode, environment: str) -> str:
        """The name Meltano keeps this sync's state and run lock under."""
        return f"{environment}:{self.extractors[mode]}-to-{self.loader}"


def root() -> Path:
    """The folder of meltano.yml: the one this package was installed from, editable."""
    return Path(__file__).resolve().parent.parent


def settings(env: Mapping[str, str] | None = None, project: Path | None = None) -> dict[str, str]:
    """The environment as Meltano sees it: the project's `.env`, over it the process's, over that `env`.

    Raises ConfigurationError for a `.env` that is not in UTF-8 or may not be read. A line of it that cannot be read is
    left out, as by Meltano, and told.
    """
    path = (project or root()) / ".env"
    try:
        values = {name: value for name, value in dotenv_values(path).items() if value}
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path.name} is not in UTF-8: save it so (byte {error.start} is none)") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    return {**values, **os.environ, **(env or {})}


def _told_once(known: set[str]) -> Callable[[logging.LogRecord], bool]:
    """A filter: `.env` is read many times in a run, and may be read in the middle of the view."""

    def passes(record: logging.LogRecord) -> bool:
        theirs = "python-dotenv could not parse statement starting at"
        told = record.getMessage().replace(theirs, ".env: no NAME=value that can be read at")
        record.msg, record.args, new = told, (), told not in known
        known.add(told)
        return new

    return passes


logging.getLogger("dotenv.main").addFilter(_told_once(set()))


def unread_lines(path: Path) -> list[int]:
    """The numbers of the lines of a `.env` that cannot be read."""
    with path.open(encoding="utf-8") as file:
        return [found.original.line for found in parse_stream(file) if found.error]


def variable(plugin: str, setting: str) -> str:
    """The environment's name for a plugin's setting."""
    return f"{plugin}_{setting}".upper().replace("-", "_")


def state_uri(folder: Path) -> str:
    """Meltano's `state_backend.uri` for state in a folder: see state_files.py."""
    return f"atomic-file://{folder.absolute()}"


def environment(settings: Mapping[str, str], project: Path | None = None) -> str:
    """The Meltano environment in force: MELTANO_ENVIRONMENT, else the project's default."""
    if settings.get("MELTANO_ENVIRONMENT"):
        return settings["MELTANO_ENVIRONMENT"]
    return str(main_file(project).get("default_environment") or "dev")


def main_file(project: Path | None = None) -> Mapping[str, Any]:
    """What meltano.yml holds. Raises ConfigurationError where there is none."""
    path = (project or root()) / "meltano.yml"
    if not path.exists():
        raise ConfigurationError(f"{path.parent} is no Meltano project: it has no meltano.yml")
    return read(path)


def tables(project: Path | None = None) -> list[Table]:
    """Every table below extract/, by name. Raises ConfigurationError for a file that cannot be read."""
    contents, values = _contents(project), settings(project=project)
    found = [table for path in contents for table in _tables_in(path, contents, values)]
    return sorted(found, key=lambda table: table.name)


def files(project: Path | None = None) -> list[Mapping[str, Any]]:
    """What each file below extract/ holds. Raises ConfigurationError for one that cannot be read."""
    return list(_contents(project).values())


def _contents(project: Path | None) -> dict[Path, Mapping[str, Any]]:
    return {path: read(path) for path in sorted(((project or root()) / "extract").glob("*.meltano.yml"))}


def read(path: Path) -> Mapping[str, Any]:
    """What one of the project's files holds. Raises ConfigurationError where it cannot be read."""
    try:
        content = parsed(path.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, YAMLError) as error:
        raise ConfigurationError(f"{path.name} is no YAML that can be read: {error}") from error
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"{path.name} is no mapping of settings: see the other files beside it")
    return content


@lru_cache(maxsize=1024)
def parsed(text: str) -> Any:
    """What a text in YAML holds; not to be changed. Each table of many asks for every file of the project's again."""
    return YAML(typ="safe").load(text)


def with_own_settings(extractors: Iterable[str], env: Mapping[str, str], project: Path | None = None) -> set[str]:
    """Those that Meltano may give another source, or other rules for loading, than their plugin's variables say.

    By the files below extract/, by the environment in force in meltano.yml, or by variables of their own names: Meltano
    itself is to be asked for their settings, which takes it some seconds.
    """
    declared = {one["name"]: one for content in files(project) for one in _extractors(content)}
    in_force = environment(env, project)
    more: dict[str, list[Mapping[str, Any]]] = {}
    for one in main_file(project).get("environments") or []:
        for plugin in _extractors(one.get("config") or {}) if one.get("name") == in_force else ():
            more.setdefault(plugin["name"], []).append(plugin.get("config") or {})
    found = set()
    for extractor in extractors:
        chain = _chain(extractor, declared)
        configs = [config for name, own in chain for config in (own, *more.get(name, ()))]
        variables = [variable(name, setting) for name, _ in chain[:-1] for setting in _OWN]
        if any(config.get(setting) for config in configs for setting in _OWN) or any(map(env.get, variables)):
            found.add(extractor)
    return found


def _extractors(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return (content.get("plugins") or {}).get("extractors") or []


def tables_of(path: Path) -> list[Table]:
    """The tables of one file. Raises ConfigurationError where it cannot be read, or is not as Meltano's files are."""
    folder = path.parent.parent
    return _tables_in(path, _contents(folder), settings(project=folder))


@contextmanager
def _as_meltanos(path: Path) -> Iterator[None]:
    """Blames a file that is not as Meltano's are."""
    try:
        yield
    except KeyError as error:
        raise ConfigurationError(f"{path.name}: an extractor or a job in it has no {error}") from error
    except (AttributeError, TypeError, ValueError) as error:
        told = "its plugins, jobs or tasks are not as in the other files beside it"
        raise ConfigurationError(f"{path.name}: {told} ({error})") from error


def named(wanted: str, among: Iterable[Table]) -> list[Table]:
    """The table of that name (`bi-credores`, `bi_credores` or `dbo.bi_credores`), or every one for `all`."""
    known = list(among)
    if wanted == "all":
        return known
    for table in known:
        if wanted in (table.name, table.source, table.target, table.name.replace("-", "_")):
            return [table]
    names = ", ".join(table.name for table in known) or "none"
    raise ConfigurationError(f"there is no table {wanted}; known: {names}")


def _tables_in(path: Path, contents: Mapping[Path, Mapping[str, Any]], values: Mapping[str, str]) -> list[Table]:
    declared: dict[str, Mapping[str, Any]] = {}
    for other, content in contents.items():
        with _as_meltanos(other):
            declared.update({one["name"]: one for one in _extractors(content)})
    with _as_meltanos(path):
        chains = {one["name"]: _chain(one["name"], declared) for one in _extractors(contents[path])}
        selects = {name: _select(chain, declared) for name, chain in chains.items()}
        return list(_tables_of(chains, selects, contents[path], values))


def selected(select: Iterable[str], stream: str, column: str) -> bool:
    """Whether an extractor's `select` takes a stream's column: one of its patterns has it and no `!` takes it out."""
    taken = False
    patterns = list(select) or ["*.*"]
    for pattern in sorted(patterns, key=lambda one: one.startswith("!")):
        of_stream, _, of_column = re.sub(r"(?<!\\)\.", "\0", pattern.removeprefix("!"), count=1).partition("\0")
        if fnmatchcase(stream, of_stream) and fnmatchcase(column, of_column.replace("\\.", ".")):
            taken = not pattern.startswith("!")
    return taken


def _select(chain: _Chain, declared: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """What an extractor's `select` is, or that of the nearest it inherits from which has one."""
    given = (select for name, _ in chain if (select := (declared.get(name) or {}).get("select")))
    return tuple(unescaped(str(pattern)) for pattern in next(given, ()))


def _chain(name: str, declared: Mapping[str, Mapping[str, Any]]) -> _Chain:
    chain: _Chain = []
    while name and name not in (known for known, _ in chain):
        one = declared.get(name) or {}
        chain.append((name, one.get("config") or {}))
        name = one.get("inherit_from") or ""
    return chain


def _setting(name: str, chain: _Chain, values: Mapping[str, str]) -> str:
    """As Meltano finds it: an extractor's own variable, what its file sets, then the same of what it inherits from."""
    given = (values.get(variable(extractor, name)) or config.get(name) for extractor, config in chain)
    return unescaped(next((one for one in given if one), ""))


def _tables_of(
    chains: Mapping[str, _Chain],
    selects: Mapping[str, tuple[str, ...]],
    content: Mapping[str, Any],
    values: Mapping[str, str],
) -> Iterator[Table]:
    by_source: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
    loaders: dict[str, str] = {}
    for job in content.get("jobs") or []:
        for task in job.get("tasks") or []:
            extractor, *others = str(task).split()
            loaders[extractor] = next((other for other in others if other.startswith("target-")), "target-postgres")
            chain = chains.get(extractor) or [("", {})]
            mode, sources = chain[0][1].get("sync_mode"), chain[0][1].get("tables") or []
            if mode in MODES and len(sources) == 1:
                # One project may copy the same table of several files, each under a prefix of its own.
                key = (sources[0], _setting("table_prefix", chain, values))
                by_source.setdefault(key, {})[mode] = (job["name"], extractor)
    for (source, prefix), modes in by_source.items():
        job_name, extractor = next(iter(modes.values()))
        chain = chains[extractor]
        config, plugin = chain[0][1], chain[-1][0]
        source = unescaped(source)
        bare, stream = _stream(source, prefix, plugin)
        yield Table(
            name=job_name.removeprefix("parallel-").partition("-sync-")[2] or bare.replace("_", "-"),
            source=source,
            target=table_of(stream),
            stream=stream,
            jobs={mode: names[0] for mode, names in modes.items()},
            extractors={mode: names[1] for mode, names in modes.items()},
            key_columns=tuple(unescaped(name) for name in config.get("key_columns") or ()),
            cursor_column=unescaped(config["cursor_column"]) if config.get("cursor_column") else None,
            loader=loaders[extractor],
            plugin=plugin,
            placed=any(given.get(place) for _, given in chain for place in _PLACES),
            select=selects.get((modes.get("full") or modes[next(iter(modes))])[1], ()),
        )


def _stream(source: str, prefix: str, plugin: str) -> tuple[str, str]:
    """A table's bare name, and the stream its tap makes of it. Names in SQLite and entities of Oracle WMS have no
    schema, whatever dots are in them; SQL Server's may be in brackets."""
    if plugin == "tap-mssql":
        name = TableName.parse(source)
        return name.table, f"{name.schema}-{name.table}"
    if plugin == "tap-sqlite":
        return source, f"main-{prefix}{source}"
    if plugin == "tap-oracle-wms":
        return source, source
    schema, _, bare = source.rpartition(".")
    return bare, f"{schema}-{bare}" if schema else bare


def unescaped(text: str) -> str:
    """A name as Meltano hands it on: a backslash before a dollar keeps it from being taken for a variable."""
    return str(text).replace("\\$", "$")
