"""Swap or merge: a live table that something depends on cannot be replaced by another."""

from __future__ import annotations

from typing import Literal

import psycopg
from psycopg import sql
from sync_rules.exits import ConfigurationError

from target_postgres.activation.carry import stale_value
from target_postgres.catalog import LiveTable, TableName
from target_postgres.connection import Connection
from target_postgres.job import Job
from target_postgres.postgres_types import PostgresType
from target_postgres.queries import query
from target_postgres.shape import Changes

Way = Literal["swap", "merge"]
SHOWN = 5


def obstacles(connection: Connection, live: LiveTable, plan: Changes) -> list[str]:
    """What stands against a swap, in words: empty when nothing does."""
    found = [text for (text,) in connection.execute(query("dependents.all"), {"oid": live.oid})]
    if not live.owned:
        found.append("the table belongs to another role")
    found += [f"column {name}, which the source does not have" for name in plan.gone]
    return found


def unmatched(job: Job, live: LiveTable) -> str:
    """Why rows of the live table cannot be matched with staged ones, in words: empty where they can."""
    if not job.key:
        return "without a key"
    lacking = [name for name in job.key if name not in live.columns]
    return f"without the key column {lacking[0]}, which the target lacks," if lacking else ""


def choose(connection: Connection, job: Job, live: LiveTable | None, plan: Changes) -> tuple[Way, list[str]]:
    """How the sync will take effect, and what stood against a swap.

    A table whose rows cannot be matched is always swapped. Raises ConfigurationError where the settings leave no way.
    """
    if live is None:
        return "swap", []
    against = obstacles(connection, live, plan)
    against += [
        f"the key column {name}, a char that becomes {plan.widened[name]}" for name in plan.padded if name in job.key
    ]
    why = unmatched(job, live)
    if job.rules.activation == "merge" and not why:
        return "merge", against
    if not against:
        if job.rules.activation == "merge":
            raise ConfigurationError(f"{job.live}: {why} its rows cannot be merged; set activation to swap or auto")
        return "swap", against
    shown = ", ".join(against[:SHOWN]) + (f" and {len(against) - SHOWN} more" if len(against) > SHOWN else "")
    if job.rules.activation == "swap":
        raise ConfigurationError(f"{job.live} cannot be swapped: {shown}; set activation to auto or merge")
    if why:
        raise ConfigurationError(f"{job.live}: {why} it can only be swapped, and that cannot be: {shown}; remove that")
    return "merge", against


def unlike(connection: Connection, job: Job, live: LiveTable, staging: TableName, plan: Changes) -> list[str]:
    """What the live table got, or lost, since the staging table was made like it, in words: a swap would undo it."""
    parameters = {
        "live": live.oid,
        "staging": staging.sql.as_string(connection),
        "widened": list(plan.widened),
        "relaxed": [*plan.relaxed, *plan.gone],
        "key": list(job.key),
    }
    return [text for (text,) in connection.execute(query("dependents.unlike"), parameters)]


def check_types(connection: Connection, job: Job, live: LiveTable, plan: Changes, way: Way) -> None:
    """Refuse a column that must become wider while something uses it: PostgreSQL would, and not say which.

    A swap makes the policies anew, so they are no hindrance to it. Raises ConfigurationError.
    """
    parameters = {
        "oid": live.oid,
        "columns": list(plan.widened),
        "padded": list(plan.padded),
        "swap": way == "swap",
    }
    found = connection.execute(query("dependents.on_columns"), parameters).fetchone() if plan.widened else None
    if found is not None:
        name, user = found
        raise ConfigurationError(
            f"{job.live}: the column {name} has to become {plan.widened[name]}, as it is at the source, and"
            f" PostgreSQL does not let it while {str(user).removeprefix('rule _RETURN on ')} uses it: drop that, run"
            " the sync, and make it again"
        )


def check_choice(connection: Connection, job: Job, live: LiveTable, plan: Changes) -> None:
    """Refuse at once, before a row is read, what could not be activated at the end."""
    way, _ = choose(connection, job, live, plan)
    check_types(connection, job, live, plan, way)
    if way == "merge":
        _check_rights(connection, job, live, plan)
    why = unmatched(job, live)
    if why and job.rules.stale_rows != "delete":
        raise ConfigurationError(
            f"{job.live}: stale_rows is {job.rules.stale_rows}, and {why} stale rows cannot be told from others"
        )
    column = job.rules.stale_column
    if job.rules.stale_rows == "flag" and column not in live.columns and column not in job.column_names:
        raise ConfigurationError(f"{job.live}: stale_column is {column!r}, and the table has no such column")
    if job.rules.stale_rows == "flag" and column in live.columns and live.columns[str(column)].generated:
        raise ConfigurationError(f"{job.live}: stale_column is {column!r}, and the table computes that column itself")
    if job.rules.stale_rows == "flag":
        kinds = {**{each.name: each.type for each in job.columns}, **{name: c.type for name, c in live.columns.items()}}
        _check_value(connection, job, kinds[str(column)])


def _check_rights(connection: Connection, job: Job, live: LiveTable, plan: Changes) -> None:
    if plan and not live.owned:
        raise ConfigurationError(
            f"{job.live}: the source's columns changed ({plan}), and the table belongs to another role: change it as"
            " that one, or make this role a member of it"
        )
    # Where no index keeps its key apart, a merge leaves one of the rows that share it.
    deletes = job.rules.stale_rows == "delete" or not live.has_key(job.key)
    parameters = {"oid": live.oid, "deletes": deletes}
    lacking = [right for (right,) in connection.execute(query("dependents.lacking_rights"), parameters)]
    if lacking:
        raise ConfigurationError(
            f"{job.live}: a merge needs rights on it that the role does not have: {', '.join(lacking)}; grant them"
        )


def _check_value(connection: Connection, job: Job, kind: PostgresType) -> None:
    try:
        connection.execute(sql.SQL("SELECT {}").format(stale_value(job, kind)))
    except psycopg.DataError:
        raise ConfigurationError(
            f"{job.live}: stale_value is {job.rules.stale_value!r}, which the column {job.rules.stale_column} ({kind})"
            " cannot hold"
        ) from None
