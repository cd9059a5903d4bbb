"""DATABASE_* settings."""

from __future__ import annotations

import asyncio
import ssl
import traceback
from pathlib import Path

import asyncpg
import pytest

from stores.settings import DatabaseSettings, SettingsError, project_environment


def test_url_wins_over_the_single_settings() -> None:
    found = DatabaseSettings.from_environment(
        {"DATABASE_URL": "postgresql+asyncpg://u:p%40ss@db:6000/app?sslmode=require", "DATABASE_HOST": "elsewhere"}
    )
    assert (found.host, found.port, found.name, found.user, found.password) == ("db", 6000, "app", "u", "p@ss")
    assert found.libpq("x")["sslmode"] == "require"
    assert found.asyncpg["ssl"] == "require"


def test_every_connection_goes_to_the_server_that_the_query_names() -> None:
    found = DatabaseSettings.from_url(
        "postgresql:///a?host=/run/pg&port=6000&dbname=b&user=u&password=p&sslmode=disable"
    )
    assert (found.host, found.port, found.name, found.user, found.password) == ("/run/pg", 6000, "b", "u", "p")
    assert (found.libpq("x")["host"], found.libpq("x")["dbname"], found.url.host) == ("/run/pg", "b", "/run/pg")
    assert found.options == {"sslmode": "disable"}


@pytest.mark.parametrize(
    ("query", "mode"),
    [("ssl=true", "require"), ("ssl=false", "disable"), ("sslmode=verify-full", "verify-full"), ("", None)],
)
def test_every_driver_encrypts_as_the_url_asks(query: str, mode: str | None) -> None:
    found = DatabaseSettings.from_url(f"postgresql://u:p@h/n?{query}")
    assert (found.libpq("x").get("sslmode"), found.asyncpg.get("ssl")) == (mode, mode)


def test_the_certificates_that_the_url_names_are_asyncpgs_too(tmp_path: Path) -> None:
    root = tmp_path / "the root.crt"
    root.write_text("no certificate")
    found = DatabaseSettings.from_url(f"postgresql://u@127.0.0.1:1/n?sslmode=verify-full&sslrootcert={root}")
    with pytest.raises(ssl.SSLError):  # it was read
        asyncio.run(asyncpg.connect(**found.asyncpg))
    root.unlink()
    with pytest.raises(SettingsError, match=str(root)):
        _ = found.asyncpg
    of_the_system = DatabaseSettings.from_url("postgresql://u@127.0.0.1:1/n?sslrootcert=system")
    assert of_the_system.asyncpg["ssl"].verify_mode is ssl.CERT_REQUIRED
    assert (of_the_system.asyncpg["ssl"].check_hostname, of_the_system.libpq("x")["sslmode"]) == (True, "verify-full")
    root.write_text("no certificate")
    own = DatabaseSettings.from_url(f"postgresql://u@127.0.0.1:1/n?sslrootcert=system&sslcert={root}&sslkey={root}")
    with pytest.raises(ssl.SSLError):
        _ = own.asyncpg


def test_single_settings_and_the_pool() -> None:
    found = DatabaseSettings.from_environment(
        {
            "DATABASE_HOST": "h",
            "DATABASE_PORT": "1",
            "DATABASE_NAME": "n",
            "DATABASE_USER": "u",
            "DATABASE_POOL_SIZE": "3",
        }
    )
    assert (found.host, found.port, found.name, found.user) == ("h", 1, "n", "u")
    assert (found.pool_size, found.max_overflow) == (3, 20)
    assert DatabaseSettings.from_environment({}).pool_size == 10


def test_the_password_is_never_shown() -> None:
    found = DatabaseSettings.from_url("postgresql://u:hidden@h/n")
    assert "hidden" not in repr(found) + str(found.url)


@pytest.mark.parametrize(
    "env",
    [
        {"DATABASE_PORT": "x"},
        {"DATABASE_PORT": "65536"},
        {"DATABASE_URL": "mysql://u:hidden@h/n"},
        {"DATABASE_URL": "hidden"},
        {"DATABASE_URL": "postgresql://u@h:hidden/n"},
        {"DATABASE_URL": "postgresql://u@h:65536/n"},
        {"DATABASE_URL": "postgresql://u:hidden@h/n?sslmode=sometimes"},
        {"DATABASE_URL": "postgresql://u:hidden@h/n?port=x"},
    ],
)
def test_what_cannot_be_read_is_refused_without_showing_it(env: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        DatabaseSettings.from_environment(env)
    assert "hidden" not in "".join(traceback.format_exception(caught.value))


def test_the_projects_commands_read_env_and_the_environment_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("DATABASE_HOST=from-file\nDATABASE_NAME=from-file\nDATABASE_USER=\n")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("DATABASE_HOST", raising=False)
    monkeypatch.setenv("DATABASE_NAME", "from-environment")
    found = DatabaseSettings.from_environment(project_environment(tmp_path))
    assert (found.host, found.name, found.user) == ("from-file", "from-environment", "paralelo")
