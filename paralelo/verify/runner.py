"""Several tables, compared one after another, and the report of it all."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Literal

from sync_rules.exits import ConfigurationError, SyncError
from tap_mssql.discovery import TableName
from target_postgres.names import fold, table_of
from target_postgres.settings import Settings

from paralelo import project
from paralelo.plugin_settings import settings_of
from paralelo.verify.fix import Fixed, fix
from paralelo.verify.oracle_wms import OracleWms
from paralelo.verify.pairing import Wanted
from paralelo.verify.postgres import Postgres
from paralelo.verify.report import Report, TableReport
from paralelo.verify.settings import nul_replacement, source_config, target_settings
from paralelo.verify.sides import Source
from paralelo.verify.sqlserver import SqlServer
from paralelo.verify.table import Options, cannot_compare, unforeseen, verify_table
from paralelo.verify.tally import Tally

Repair = Literal["no", "rows", "extra"]
_SQL_SERVER = ("", "tap-mssql")


def tables_named(
    names: Iterable[str], target_schema: str, root: Path, env: Mapping[str, str] | None = None
) -> list[Wanted]:
    """The project's tables by any of their names, `all` for every one whose source has a setting in `env`.

    A name with a schema that the project does not know (`dbo.other`) is compared all the same: its key comes from the
    source's catalog. Raises ConfigurationError for any other unknown name.
    """
    known = project.tables(root)
    # Where nothing is set up, all are named: each then says what is missing.
    used = [table for table in known if env is not None and table.configured(env)] or known
    wanted: list[Wanted] = []
    for name in names:
        spelled = {spelling for table in known for spelling in (table.name, table.source, table.target)}
        if "." in name and name not in spelled:
            read = TableName.parse(name)
            if str(read) not in spelled:
                wanted.append(Wanted(name, target_schema, table_of(read.stream)))
                continue
            name = str(read)
        wanted += [
            Wanted(
                table.source,
                target_schema,
                table.target,
                table.key_columns,
                table.cursor_column,
                plugin=table.plugin,
                extractor=table.extractors.get("full") or next(iter(table.extractors.values()), ""),
                select=table.select,
                stream=table.stream,
            )
            for table in project.named(name, used if name == "all" else known)
        ]
    return wanted


def verify(
    names: Iterable[str],
    options: Options | None = None,
    *,
    target_table: str | None = None,
    key_columns: Sequence[str] = (),
    cursor_column: str | None = None,
    columns: Sequence[str] = (),
    repair: Repair = "no",
    root: Path | None = None,
    on_table: Callable[[TableReport], None] = lambda _: None,
) -> Report:
    """Compare tables of the project whose folder is `root`; `on_table` is told of each as it is done.

    `target_table` (`schema.table`) takes the place of one table's usual target: a staging table before its activation.
    `key_columns`, `cursor_column` and `columns` (the source's names) hold for one table, over what the project says.
    With `repair`, rows that are missing or differ are copied again (`extra`: and extra rows deleted), and the table is
    compared once more: the report is of that second comparison.

    Raises ConfigurationError for settings and names; what goes wrong with a table stands in its report.
    """
    names, options = list(names), options or Options()
    root = root or project.root()
    env = project.settings(project=root)
    named = [_extractor(wanted) for wanted in tables_named(names, "", root, env) if wanted.plugin in _SQL_SERVER]
    # Where the target has this compare what Meltano's extractor has just read, the variables are that one's.
    own = project.with_own_settings(named, env, root) - {env.get("MELTANO_EXTRACTOR_NAME", "")}
    if set(named) - own:
        source_config(env)
    settings = target_settings(env)
    started, at = time.monotonic(), datetime.now(timezone.utc)
    chosen = tables_named(names, fold(settings.default_target_schema), root, env)
    if target_table or key_columns or cursor_column or columns:
        chosen = [_overridden(chosen, target_table, key_columns, cursor_column, columns)]
    if target_table is not None and repair != "no":
        raise ConfigurationError("the target's own loads go to its usual table: --fix and --target exclude each other")
    target = Postgres(settings)
    done: list[TableReport] = []
    try:
        for wanted in chosen:
            try:
                source = _source_of(wanted, settings, root, env, own)
            except Exception as error:
                told = error if isinstance(error, SyncError) else unforeseen(wanted.source, error)
                done.append(cannot_compare(wanted, options, told))
                on_table(done[-1])
                continue
            try:
                report = _verify(source, target, wanted, options, partial(_mend, source, target, settings, repair))
            finally:
                source.close()
            on_table(report)
            done.append(report)
    finally:
        target.close()
    # Linux counts it in KiB.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Report(tuple(done), at.isoformat(timespec="seconds"), time.monotonic() - started, peak)


def _extractor(wanted: Wanted) -> str:
    return wanted.extractor or "tap-mssql"


def _source_of(wanted: Wanted, settings: Settings, root: Path, env: Mapping[str, str], own: Set[str]) -> Source:
    """`own` are extractors of SQL Server whose settings may be others than the environment's."""
    if wanted.plugin in _SQL_SERVER:
        config = settings_of(_extractor(wanted), root, env) if _extractor(wanted) in own else source_config(env)
        return SqlServer(config, nul_replacement(settings, wanted.target_table, config.get("load") or {}))
    if wanted.plugin == "tap-oracle-wms":
        config = settings_of(wanted.extractor, root, env)
        return OracleWms(
            wanted.source, config, nul_replacement(settings, wanted.target_table, config.get("load") or {})
        )
    raise ConfigurationError(f"{wanted.source}: tables that {wanted.plugin} copies cannot be compared")


def _overridden(
    tables: list[Wanted],
    target_table: str | None,
    key_columns: Sequence[str],
    cursor_column: str | None,
    columns: Sequence[str],
) -> Wanted:
    if len(tables) != 1:
        raise ConfigurationError("--target, --key, --cursor and --column are of one table: name that one alone")
    wanted = tables[0]
    if target_table is not None:
        # Split at the first dot: tables have dots in their names more often than schemas do.
        schema, _, table = target_table.partition(".")
        if not schema or not table:
            raise ConfigurationError("--target names a table of the target as schema.table")
        wanted = replace(wanted, target_schema=schema, target_table=table)
    return replace(
        wanted,
        key_columns=tuple(key_columns) or wanted.key_columns,
        cursor_column=cursor_column or wanted.cursor_column,
        columns=tuple(columns),
    )


def _verify(
    source: Source, target: Postgres, wanted: Wanted, options: Options, mend: Callable[[Tally], Fixed]
) -> TableReport:
    found: list[Tally] = []
    report = verify_table(source, target, wanted, options, lambda _paired, tally: found.append(tally))
    if not found:
        return report
    try:
        fixed = mend(found[0])
    except Exception as error:
        told = error if isinstance(error, SyncError) else unforeseen(wanted.source, error)
        return replace(report, notes=(*report.notes, f"not mended: {told}"))
    if fixed == Fixed():
        return report
    again = verify_table(source, target, wanted, options)
    return replace(again, copied_again=fixed.copied, deleted=fixed.deleted, seconds=report.seconds + again.seconds)


def _mend(source: Source, target: Postgres, settings: Settings, repair: Repair, tally: Tally) -> Fixed:
    if repair == "no" or not (tally.to_copy or tally.to_delete):
        return Fixed()
    return fix(source, target, settings, tally, extra=repair == "extra")
