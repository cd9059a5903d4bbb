"""Rows copied again through the target itself, and extra ones deleted when that is asked for."""

from __future__ import annotations

import os

import psycopg
import pytest
from target_postgres.settings import Settings

from paralelo.verify.fix import Fixed, fix
from paralelo.verify.pairing import Wanted
from paralelo.verify.table import Options, verify_table
from paralelo.verify.tally import Tally
from paralelo.verify.tests.conftest import Pair


@pytest.fixture
def env(postgres_uri: str) -> tuple[Settings, dict[str, str]]:
    host = str(psycopg.conninfo.conninfo_to_dict(postgres_uri)["host"])
    settings = Settings(host=host, user="postgres", database="postgres", ssl_mode="disable")
    named = {"HOST": host, "USER": "postgres", "DATABASE": "postgres", "SSL_MODE": "disable"}
    return settings, {**os.environ, **{f"TARGET_POSTGRES_{name}": value for name, value in named.items()}}


@pytest.mark.parametrize("extra", [False, True])
def test_a_table_is_mended(pair: Pair, env: tuple[Settings, dict[str, str]], extra: bool) -> None:
    pair.t_sql(
        "DROP TABLE IF EXISTS dbo.consertar",
        "CREATE TABLE dbo.consertar (id int NOT NULL PRIMARY KEY, nome varchar(20), mod_ts datetime2(7) NOT NULL)",
        "INSERT INTO dbo.consertar VALUES (1, 'um', '2024-01-01'), (2, 'dois', '2024-01-01')",
        "INSERT INTO dbo.consertar VALUES (3, 'três', '2024-01-01')",
    )
    pair.copy("consertar", "id")
    pair.sql(
        "DELETE FROM consertar WHERE id = 1",
        # It claims to be newer than the source's: that must not save it.
        "UPDATE consertar SET nome = 'outro', mod_ts = '2030-01-01' WHERE id = 2",
        "INSERT INTO consertar VALUES (9, 'a mais', '2024-01-01')",
    )
    wanted = Wanted("dbo.consertar", "public", "consertar")
    found: list[Tally] = []
    verify_table(pair.source, pair.target, wanted, Options("deep"), lambda _paired, tally: found.append(tally))
    settings, environment = env
    assert fix(pair.source, pair.target, settings, environment, found[0], extra=extra) == Fixed(2, int(extra))
    report = verify_table(pair.source, pair.target, wanted, Options("deep"))
    assert (report.missing, report.different, report.extra) == (0, 0, 0 if extra else 1)
