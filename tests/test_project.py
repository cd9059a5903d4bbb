"""The Meltano project's files say what the plugins say, and every table's file is whole."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from paralelo import project
from tests.pipeline import BIN

ROOT = project.root()
KINDS = {"boolean": "boolean", "integer": "integer", "array": "array", "object": "object"}
"""Numbers are text to Meltano, which cannot hand on a `decimal` from the environment (see `read_numbers`)."""


def _yaml(path: Path) -> dict[str, Any]:
    return dict(YAML(typ="safe").load(path.read_text(encoding="utf-8")))


def _about(plugin: str) -> dict[str, Any]:
    printed = subprocess.run([BIN / plugin, "--about", "--format=json"], capture_output=True, text=True, check=True)
    return dict(json.loads(printed.stdout)["settings"]["properties"])


def _kind(described: dict[str, Any]) -> str:
    kinds = described.get("type", "string")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if described.get("enum") and "string" in kinds:
        return "options"
    return next((meltano for json_kind, meltano in KINDS.items() if json_kind in kinds), "string")


@pytest.mark.parametrize(
    ("file", "role", "plugin"),
    [
        ("extract/mssql.meltano.yml", "extractors", "tap-mssql"),
        ("extract/sqlite.meltano.yml", "extractors", "tap-sqlite"),
        ("extract/oracle-wms.meltano.yml", "extractors", "tap-oracle-wms"),
        ("load/target-postgres.meltano.yml", "loaders", "target-postgres"),
    ],
)
def test_settings_are_the_plugins_own(file: str, role: str, plugin: str) -> None:
    declared = {setting["name"]: setting for setting in _yaml(ROOT / file)["plugins"][role][0]["settings"]}
    about = _about(plugin)
    assert {name: (given["kind"], given["label"], given["description"]) for name, given in declared.items()} == {
        name: (_kind(described), described["title"], described["description"]) for name, described in about.items()
    }
    secret = {name for name, described in about.items() if described.get("secret")}
    assert secret == {name for name, setting in declared.items() if setting.get("sensitive")}


@pytest.mark.parametrize(
    ("plugin", "variable", "name", "printed"),
    [
        ("tap-oracle-wms-full-allocation", "TAP_ORACLE_WMS_REQUESTS_PER_SECOND", "requests_per_second", "12.5"),
        ("target-postgres", "TARGET_POSTGRES_MAX_SHRINK_PERCENT", "max_shrink_percent", "12.5"),
    ],
)
def test_a_number_of_the_environment_reaches_the_plugin(
    monkeypatch: pytest.MonkeyPatch, plugin: str, variable: str, name: str, printed: str
) -> None:
    monkeypatch.setenv(variable, printed)
    command = [str(BIN / "meltano"), "--log-level=error", "invoke", "--dump=config", plugin]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(json.loads(done.stdout)[name]) == float(printed)


def test_nobody_else_can_read_the_settings_that_meltano_writes_for_a_run() -> None:
    assert (ROOT / ".meltano" / "run").stat().st_mode & 0o077 == 0, "make setup sees to it"


def test_every_setting_of_the_servers_is_in_the_example_environment() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    for name in ("host", "port", "user", "password", "database", "encrypt", "trust_server_certificate"):
        assert f"\nTAP_MSSQL_{name.upper()}=" in example
    for name in ("host", "port", "user", "password", "database", "ssl_mode", "default_target_schema"):
        assert f"\nTARGET_POSTGRES_{name.upper()}=" in example


@pytest.mark.parametrize("name", ["bi-credores", "resumo-faixas"])
def test_a_table_has_its_jobs_and_schedules(name: str) -> None:
    (table,) = project.named(name, project.tables())
    assert table.jobs == {
        "full": f"parallel-full-sync-{name}",
        "incremental": f"parallel-incremental-sync-{name}",
    }
    content = _yaml(ROOT / "extract" / f"{table.target}.meltano.yml")
    intervals = {schedule["job"]: schedule["interval"] for schedule in content["schedules"]}
    assert intervals[table.jobs["incremental"]] == "*/15 * * * *"
    assert len(intervals[table.jobs["full"]].split()) == 5
    assert intervals[table.jobs["full"]].split()[4] != "*"


def test_environments() -> None:
    assert [one["name"] for one in _yaml(ROOT / "meltano.yml")["environments"]] == ["dev", "staging", "prod"]


@pytest.mark.parametrize("plugin", sorted(path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml")))
def test_a_plugin_declares_what_it_imports(plugin: str) -> None:
    """Meltano gives each plugin an environment of its own: what only another plugin needs is not there."""
    folder = ROOT / "plugins" / plugin
    said = (folder / "pyproject.toml").read_text(encoding="utf-8")
    declared = {re.split(r"[^\w-]", name)[0].lower() for name in re.findall(r'"([\w.-]+[^"\n]*)"', said)}
    homes = packages_distributions()
    imported = set()
    for path in (folder / plugin.replace("-", "_")).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    others = imported - set(sys.stdlib_module_names) - {plugin.replace("-", "_")}
    # These come with singer-sdk, which hands their objects on.
    known = declared | {"click", "jsonschema"}
    missing = {
        module
        for module in others
        if not {home.lower().replace("_", "-") for home in homes.get(module, [module])} & known
    }
    assert missing == set()
