"""The Meltano files of the WMS say what the tap says, and each entity has its jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tap_oracle_wms.settings import SETTINGS

from paralelo import project

EXTRACT = Path(__file__).resolve().parents[3] / "extract"


def _extractor(file: str) -> dict[str, Any]:
    content = YAML(typ="safe").load((EXTRACT / file).read_text(encoding="utf-8"))
    return dict(content["plugins"]["extractors"][0])


def test_every_setting_is_declared_and_secrets_as_such() -> None:
    declared = {setting["name"]: setting for setting in _extractor("oracle-wms.meltano.yml")["settings"]}
    assert SETTINGS["properties"].keys() <= declared.keys()
    secret = {name for name, described in SETTINGS["properties"].items() if described.get("secret")}
    assert secret == {name for name, setting in declared.items() if setting.get("sensitive")}


@pytest.mark.parametrize("entity", ["allocation", "order_hdr", "order_dtl"])
def test_the_operators_commands_know_each_entity(entity: str) -> None:
    name = entity.replace("_", "-")
    (table,) = project.named(name, project.tables())
    assert (table.source, table.stream, table.target) == (entity, entity, entity)
    assert table.jobs == {"full": f"parallel-full-sync-{name}", "incremental": f"parallel-incremental-sync-{name}"}
