"""What the report says, and where."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console
from sync_rules.exits import ConfigurationError, SyncError

from paralelo.verify import cli, html, pools, runner, terminal
from paralelo.verify.pairing import Wanted
from paralelo.verify.rendering import masked, shown_key, text_of
from paralelo.verify.report import Bucket, ExitCode, Report, TableReport, to_json
from paralelo.verify.settings import typed
from paralelo.verify.sqlserver import SqlServer
from paralelo.verify.table import Options, verify_table
from paralelo.verify.tally import Cell, Difference
from paralelo.verify.tests.memory import KEY, NUMBER, TEXT, column

FOUND = TableReport(
    table="dbo.things",
    target="public.things",
    check="deep",
    verdict="different",
    key=("id",),
    compared_columns=3,
    source_rows=10,
    target_rows=9,
    missing=1,
    different=1,
    columns={"t": 1},
    differences=(
        Difference("missing", ("3",)),
        Difference("different", ("4",), (Cell("t", None, "</script><script>alert(1)</script>"),)),
    ),
    buckets=(Bucket("1", "5", 5, 4, missing=1, different=1), Bucket("6", "10", 5, 5)),
    seconds=2.0,
)
EQUAL = replace(FOUND, verdict="equal", missing=0, different=0, differences=(), columns={}, target_rows=10)
UNKNOWN = TableReport(
    table="dbo.gone", target="public.gone", check="deep", verdict="could not compare", error="it is not there"
)


def report_of(*tables: TableReport) -> Report:
    return Report(tables, "2025-01-01T00:00:00+00:00", 3.0, 2**27)


@pytest.mark.parametrize(
    ("tables", "code"),
    [
        ([EQUAL], ExitCode.EQUAL),
        ([EQUAL, FOUND], ExitCode.DIFFERENT),
        ([EQUAL, UNKNOWN], ExitCode.COULD_NOT_COMPARE),
        ([FOUND, UNKNOWN], ExitCode.DIFFERENT),
        ([], ExitCode.COULD_NOT_COMPARE),
    ],
)
def test_the_exit_code(tables: list[TableReport], code: ExitCode) -> None:
    assert report_of(*tables).exit_code == code


def test_json_holds_everything() -> None:
    found = json.loads(json.dumps(to_json(report_of(FOUND))))
    assert found["exit_code"] == 1
    assert found["tables"][0]["differences"][1]["cells"][0]["target"].startswith("</script>")


def test_the_page_needs_nothing_else_and_no_value_becomes_markup() -> None:
    page = html.page(report_of(FOUND, UNKNOWN))
    assert page.count("<script>") == page.count("</script>") == 1
    assert not re.search(r"(?:src|href)=\"(?!#)", page)
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_one_screen_without_colours_on_a_dumb_terminal() -> None:
    out = StringIO()
    terminal.show(report_of(FOUND, EQUAL), Console(file=out, width=80, force_terminal=False))
    text = out.getvalue()
    assert "\x1b" not in text
    assert len(text.splitlines()) < 30
    assert "dbo.things" in text
    assert "different" in text


def test_a_name_in_brackets_is_shown_as_it_is() -> None:
    """rich would take `[kg]` for a style and leave it out, and end with an error at `[/kg]`."""
    out = StringIO()
    named = replace(FOUND, table="dbo.peso [kg]", target="public.peso [/kg]", key=("id [/un]",))
    terminal.show(report_of(named), Console(file=out, width=120, force_terminal=False))
    assert out.getvalue().count("dbo.peso [kg]") == 2
    assert "public.peso [/kg]" in out.getvalue()
    assert "id [/un]" in out.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120])
def test_no_count_and_no_verdict_is_cut_off(width: int) -> None:
    large = replace(FOUND, source_rows=1_234_567_890, target_rows=1_234_567_891, unsettled=4, seconds=17.0)
    out = StringIO()
    terminal.show(report_of(large, EQUAL), Console(file=out, width=width, force_terminal=False))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for told in ("1,234,567,890", "1,234,567,891", " different", "missing", "extra", "4 rows changed too recently"):
        assert told in text


def test_masks_say_no_more_than_kind_and_size() -> None:
    assert masked(TEXT, "123.456.789-00") == "(14 characters)"
    assert masked(TEXT, text_of(pa.array(["x" * 5_000]), 0)) == "(5,000 characters)"
    assert masked(TEXT, "") == "(empty)"
    assert masked(TEXT, None) is None
    assert masked(NUMBER, "5") == "(number)"
    assert shown_key(KEY, "5") == "5"
    assert shown_key(TEXT, "123.456.789-00") == "(14 characters)"
    account = column("k", "decimal(11,0)", "decimal(11,0)", "numeric", nullable=False)
    assert shown_key(account, "12345678900") == "(number)"


def test_settings_that_are_missing_could_not_compare(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("paralelo.project.settings", lambda *_, **__: {})
    assert cli.main(["all"]) == ExitCode.COULD_NOT_COMPARE
    assert "TAP_MSSQL_HOST" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["0", "many", "1.5"])
def test_a_count_that_is_none_is_told(capsys: pytest.CaptureFixture[str], value: str) -> None:
    with pytest.raises(SystemExit):
        cli.parser().parse_args(["all", "--sample", value])
    assert f"--sample: '{value}' is no whole number of 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [("dbo.a --target public.b --fix", "exclude each other"), ("dbo.a dbo.b --key id", "name that one alone")],
)
def test_options_of_one_table(monkeypatch: pytest.MonkeyPatch, capsys: Any, words: str, says: str) -> None:
    given = {f"{prefix}_{name}": "y" for prefix in ("TAP_MSSQL", "TARGET_POSTGRES") for name in ("HOST", "DATABASE")}
    monkeypatch.setattr("paralelo.project.settings", lambda *_, **__: {**given, "TARGET_POSTGRES_USER": "y"})
    assert cli.main(words.split()) == ExitCode.COULD_NOT_COMPARE
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", Options()),
        ("--deep --since 2024-01-01 --ignore-extra", Options("deep", since="2024-01-01", ignore_extra=True)),
        ("--sample 5 --seed 7 --parallel 3", Options(sample=5, seed=7, parallel=3)),
        ("--settle 5 --settle-wait 2", Options(settle_seconds=5, settle_wait_seconds=2)),
        ("--settled-at 2024-01-01 --cursor-clock utc", Options(settled_at="2024-01-01", cursor_clock="utc")),
        ("--max-differences 9 --show-values", Options(keep=9, show_values=True)),
    ],
)
def test_the_commands_options_are_the_comparisons(
    monkeypatch: pytest.MonkeyPatch, words: str, expected: Options
) -> None:
    asked: list[Options] = []

    def compare(_: Any, options: Options, **__: Any) -> Report:
        asked.append(options)
        return report_of(EQUAL)

    monkeypatch.setattr(cli, "verify", compare)
    assert cli.main(["all", *words.split()]) == ExitCode.EQUAL
    assert asked == [expected]


@pytest.mark.parametrize(
    ("text", "meant"),
    [("true", True), ("ON", True), ("1", True), ("yes", True), ("off", False), ("false", False), ("0", False)],
)
def test_a_setting_is_read_as_meltano_reads_it(text: str, meant: bool) -> None:
    described = {"name": {"type": "boolean"}, "number": {"type": ["integer", "null"]}}
    assert typed({"X_NAME": text, "X_NUMBER": ""}, "X_", described) == {"name": meant}


@pytest.mark.parametrize("given", [{}, {"driver": "msodbcsql"}, {"driver": "mssql-odbc"}], ids=str)
def test_what_another_driver_read_is_compared_with_what_mssql_python_reads(given: dict[str, str]) -> None:
    settings = SqlServer({"host": "h", "database": "d", **given}, None)._config
    assert (settings["driver"], settings["query_timeout_seconds"]) == ("mssql-python", 3600)


def test_an_environment_file_that_is_no_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("TAP_MSSQL_PASSWORD=senhaç\n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"\.env is not in UTF-8"):
        runner.verify(["all"], root=tmp_path)


@pytest.mark.parametrize("option", ["--settle=nan", "--settle=-1", "--settle=1e15", "--settle-wait=-1"])
def test_seconds_that_are_none_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["all", option]) == ExitCode.COULD_NOT_COMPARE
    assert f"{option.partition('=')[0]} is 0 seconds or more" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("chromium") is None, reason="only where a browser is there to look with")
def test_a_browser_draws_the_page(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(html.page(report_of(FOUND, UNKNOWN)), encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", page.as_uri()]
    drawn = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    body = drawn.rpartition("</script>")[0].partition("<script>")[0] + drawn.rpartition("</script>")[2]
    assert "could not compare" in body
    assert "&lt;/script&gt;" in body


@pytest.mark.parametrize("asker", ["", "tap-mssql-full-bi-credores"])
def test_a_table_with_a_source_of_its_own_is_compared_with_that(monkeypatch: pytest.MonkeyPatch, asker: str) -> None:
    """But not again where the target asks in the midst of its sync: Meltano has given it that source's settings."""
    mssql = {"TAP_MSSQL_HOST": "usual", "TAP_MSSQL_DATABASE": "x", "TAP_MSSQL_FULL_BI_CREDORES_HOST": "own"}
    target = {"TARGET_POSTGRES_HOST": "y", "TARGET_POSTGRES_USER": "y", "TARGET_POSTGRES_DATABASE": "y"}
    env = {**mssql, **target, "MELTANO_EXTRACTOR_NAME": asker}
    asked: list[str] = []

    def opened(config: dict[str, str], *_: object) -> None:
        asked.append(config["host"])
        raise SyncError("seen")

    monkeypatch.setattr("paralelo.project.settings", lambda *_, **__: env)
    monkeypatch.setattr(runner, "settings_of", lambda *_: {"host": "own"})
    monkeypatch.setattr(runner, "SqlServer", opened)
    runner.verify(["bi-credores", "resumo-faixas"])
    assert asked == ["usual" if asker else "own", "usual"]


@pytest.mark.parametrize("option", ["--json", "--html"])
def test_a_report_that_finds_no_room_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    monkeypatch.setattr(cli, "verify", lambda *_, **__: report_of(EQUAL))
    assert cli.main(["all", "--quiet", option, "/dev/full"]) == ExitCode.COULD_NOT_COMPARE
    assert "/dev/full cannot be written: No space left on device" in capsys.readouterr().err


def test_a_quiet_command_says_why_it_could_not_compare(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = replace(EQUAL, verdict="could not compare", error="the target cannot be reached")
    monkeypatch.setattr(cli, "verify", lambda *_, **__: report_of(failed))
    assert cli.main(["all", "--quiet"]) == ExitCode.COULD_NOT_COMPARE
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"{EQUAL.table}: the target cannot be reached\n")


class FullDisk:
    """A source whose rows find no room in the temporary folder."""

    def named(self, name: str) -> Any:
        raise OSError(28, "No space left on device", f"/tmp/{name}")


def test_a_full_disk_is_no_difference() -> None:
    source: Any = FullDisk()
    found = verify_table(source, source, Wanted("dbo.things", "public", "things"), Options())
    assert (found.verdict, found.error) == (
        "could not compare",
        "dbo.things: /tmp/dbo.things: No space left on device",
    )
    assert report_of(EQUAL, found).exit_code == ExitCode.COULD_NOT_COMPARE


class Broken:
    """A source with a mistake in it; what the error says may be a row's values."""

    def named(self, name: str) -> Any:
        raise IndexError(f"a secret of {name}")


def test_an_unforeseen_error_is_no_difference(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    source: Any = Broken()
    found = verify_table(source, source, Wanted("dbo.things", "public", "things"), Options())
    assert found.verdict == "could not compare"
    assert "IndexError (test_report.py" in (found.error or "")
    assert "secret" not in (found.error or "")

    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a secret")

    monkeypatch.setattr(cli, "verify", fails)
    assert cli.main(["all", "--json", "-"]) == ExitCode.COULD_NOT_COMPARE
    printed = capsys.readouterr()
    assert json.loads(printed.out)["tables"][0]["verdict"] == "could not compare"
    assert "secret" not in printed.err


class Idle:
    """A connection that may have ended."""

    closed = False

    def close(self) -> None:
        self.closed = True


def test_a_connection_that_ended_while_it_lay_idle_is_not_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_IDLE_SECONDS", 0.0)
    alive: list[bool] = [True]
    pool = pools.Pool(Idle, lambda _: alive[0])
    with pool.borrow() as first:
        pass
    with pool.borrow() as second:
        assert second is first
    alive[0] = False
    with pool.borrow() as third:
        assert third is not first
    assert first.closed
    alive[0] = True
    with pytest.raises(SyncError), pool.borrow() as broken:
        raise SyncError("rows may be on their way")
    with pool.borrow() as fourth:
        assert fourth is not broken
    assert broken.closed


def test_names_and_verdicts_stay_whole_on_80_columns() -> None:
    """A table that could not be compared takes no room from the names of the others."""
    out = StringIO()
    tables = [replace(UNKNOWN, table="dbo.resumo_faixas"), replace(EQUAL, source_rows=20_000, target_rows=20_000)]
    terminal.show(report_of(*tables), Console(file=out, width=80, force_terminal=False))
    assert re.search(r"^ dbo\.resumo_faixas .* could not compare *$", out.getvalue(), re.MULTILINE)


def test_rows_of_one_side_show_nothing_of_the_other_and_one_is_not_several() -> None:
    cells = (Difference("extra", ("no key",), (Cell("c", None, "(1 character)"), Cell("d", None, None))),)
    keyed = (Difference("missing", ("11d32f60-c4c6-79ab-4ad4-d4f1cf6a0123",), ()),)
    found = replace(FOUND, differences=cells, buckets=(), unsettled=1, copied_again=1)
    out = StringIO()
    terminal.show(report_of(found, replace(found, differences=keyed)), Console(file=out, width=80))
    assert "c: - | (1 character); d: - | NULL" in out.getvalue()
    assert "11d32f60-c4c6-79ab-4ad4-d4f1cf6a0123" in out.getvalue()
    assert out.getvalue().count("source | target") == 1
    assert "1 row changed too recently" in out.getvalue()
    assert "1 row copied again" in out.getvalue()
    assert masked(TEXT, "x") == "(1 character)"
