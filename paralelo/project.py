"""The Meltano project as the operator's commands see it: which tables there are, and the jobs that copy them.

Read from `extract/*.meltano.yml`, so adding a table there is all it takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from sync_rules.exits import ConfigurationError
from tap_mssql.discovery import TableName
from target_postgres.names import fold, table_of

Mode = Literal["full", "incremental"]
MODES: tuple[Mode, ...] = ("full", "incremental")
QUERY_SECONDS: Mapping[Mode, int] = {"full": 3_600, "incremental": 2_700}
"""The taps' `query_timeout_seconds`; theirs is not asked, for it would load all of singer-sdk."""


@dataclass(frozen=True)
class Table:
    """One table to copy.

    `name` is how jobs spell it (`bi-credores`), `source` how the source does (`dbo.bi_credores`), `target` how the
    target does (`bi_credores`). `jobs` and `extractors` hold one Meltano name for each mode the table has.
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

    def configured(self, settings: Mapping[str, str]) -> bool:
        """Whether its source has any setting: a project may hold sources that a site does not use."""
        prefix = self.plugin.upper().replace("-", "_") + "_"
        return any(name.startswith(prefix) and value for name, value in settings.items())

    def query_seconds(self, mode: Mode, settings: Mapping[str, str]) -> float:
        """How long one query to its source may take; 0 for a source that answers page by page."""
        if self.plugin not in ("tap-mssql", "tap-sqlite"):
            return 0.0
        for plugin in (self.extractors.get(mode, ""), self.plugin):
            given = settings.get(f"{plugin}_query_timeout_seconds".upper().replace("-", "_"), "")
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
    found = [table for path in _paths(project) for table in tables_of(path)]
    return sorted(found, key=lambda table: table.name)


def files(project: Path | None = None) -> list[Mapping[str, Any]]:
    """What each file below extract/ holds. Raises ConfigurationError for one that cannot be read."""
    return [read(path) for path in _paths(project)]


def _paths(project: Path | None) -> list[Path]:
    return sorted(((project or root()) / "extract").glob("*.meltano.yml"))


def read(path: Path) -> Mapping[str, Any]:
    """What one of the project's files holds. Raises ConfigurationError where it cannot be read."""
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, YAMLError) as error:
        raise ConfigurationError(f"{path.name} is no YAML that can be read: {error}") from error
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"{path.name} is no mapping of settings: see the other files beside it")
    return content


def tables_of(path: Path) -> list[Table]:
    """The tables of one file. Raises ConfigurationError where it cannot be read, or is not as Meltano's files are."""
    try:
        return list(_tables_in(read(path)))
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


def _tables_in(content: Mapping[str, Any]) -> Iterator[Table]:
    declared = (content.get("plugins") or {}).get("extractors") or []
    extractors = {extractor["name"]: extractor.get("config") or {} for extractor in declared}
    plugins = {extractor["name"]: extractor.get("inherit_from") or extractor["name"] for extractor in declared}
    by_source: dict[str, dict[str, tuple[str, str]]] = {}
    loaders: dict[str, str] = {}
    for job in content.get("jobs") or []:
        for task in job.get("tasks") or []:
            extractor, *others = str(task).split()
            loaders[extractor] = next((other for other in others if other.startswith("target-")), "target-postgres")
            config = extractors.get(extractor) or {}
            mode, sources = config.get("sync_mode"), config.get("tables") or []
            if mode in MODES and len(sources) == 1:
                by_source.setdefault(sources[0], {})[mode] = (job["name"], extractor)
    for source, modes in by_source.items():
        config = extractors[next(iter(modes.values()))[1]]
        plugin = plugins[next(iter(modes.values()))[1]]
        source = unescaped(source)
        schema, bare = _parts(source, plugin)
        job_name = next(iter(modes.values()))[0]
        yield Table(
            name=job_name.removeprefix("parallel-").partition("-sync-")[2] or bare.replace("_", "-"),
            source=source,
            target=table_of(f"{schema}-{bare}") if plugin == "tap-mssql" else fold(bare),
            stream=f"{schema}-{bare}" if schema else bare,
            jobs={mode: names[0] for mode, names in modes.items()},
            extractors={mode: names[1] for mode, names in modes.items()},
            key_columns=tuple(unescaped(name) for name in config.get("key_columns") or ()),
            cursor_column=unescaped(config["cursor_column"]) if config.get("cursor_column") else None,
            loader=loaders[next(iter(modes.values()))[1]],
            plugin=plugin,
        )


def _parts(source: str, plugin: str) -> tuple[str, str]:
    """Schema and table of a source's name; SQL Server's may be in brackets."""
    if plugin == "tap-mssql":
        name = TableName.parse(source)
        return name.schema, name.table
    schema, _, bare = source.rpartition(".")
    return schema, bare


def unescaped(text: str) -> str:
    """A name as Meltano hands it on: a backslash before a dollar keeps it from being taken for a variable."""
    return str(text).replace("\\$", "$")
