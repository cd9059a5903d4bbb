"""Tab completion of the operator's commands, made from the commands' own option parsers."""

from __future__ import annotations

import argparse
import shlex

from paralelo import project
from paralelo.project import Table

_TABLE_ARGUMENTS = frozenset({"table", "tables"})
_OF_NEW_TABLES = "add_table.py"
_OF_ONE_TABLE = "auto_recovery.py"

_BASH = """\
# Tab completion of Paralelo's commands. For bash: eval "$(python scripts/completion.py)"; zsh: bashcompinit before it.
_paralelo() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" script="${{COMP_WORDS[0]##*/}}" choices=""
  case "$script" in python|python3|python3.*) script="${{COMP_WORDS[1]##*/}}"; [ "$COMP_CWORD" -lt 2 ] && return;; esac
  case "$script" in
{cases}
    *) return;;
  esac
  COMPREPLY=( $(compgen -W "$choices" -- "$word") )
}}
complete -o default -F _paralelo python python3 {scripts}
"""


def parsers() -> dict[str, argparse.ArgumentParser]:
    """By name of the script, its parser."""
    from paralelo.cli import accept, add_table, doctor, history, monitor, plan, recover, run, units
    from paralelo.verify import cli as verify
    from stores.migration import command as migrate

    return {
        "add_table.py": add_table.parser(),
        "auto_recovery.py": recover.parser(),
        "doctor.py": doctor.parser(),
        "history.py": history.parser(),
        "migrate_sqlite_to_pg.py": migrate.parser(),
        "performance_monitor.py": monitor.parser(),
        "plan.py": plan.parser(),
        "run_with_monitoring.sh": run.parser(),
        "schedule_units.py": units.parser(),
        "test_full_sync_recovery.py": accept.parser(),
        "verify.py": verify.parser(),
    }


def words(parser: argparse.ArgumentParser, tables: list[Table]) -> list[str]:
    """What may stand behind a command: its options, its fixed words, and tables and jobs where it takes one."""
    from paralelo.cli.recover import CHECK

    found: list[str] = []
    for action in parser._actions:  # argparse has no other way to ask
        found += [option for option in action.option_strings if option.startswith("--")]
        if action.choices is not None:
            found += [str(choice) for choice in action.choices]
        if not action.option_strings and action.dest in _TABLE_ARGUMENTS and parser.prog != _OF_NEW_TABLES:
            found += [*(["all"] if parser.prog != _OF_ONE_TABLE else []), *(table.name for table in tables)]
        if action.dest == "job":
            found += [CHECK, *(job for table in tables for job in table.jobs.values())]
    return list(dict.fromkeys(found))


def bash() -> str:
    """The script that a shell evaluates."""
    tables, made = project.tables(), parsers()
    cases = [f"    {name}) choices={shlex.quote(' '.join(words(parser, tables)))};;" for name, parser in made.items()]
    names = " ".join(f"{before}{name}" for name in made for before in ("./scripts/", "scripts/"))
    return _BASH.format(cases="\n".join(cases), scripts=names)
