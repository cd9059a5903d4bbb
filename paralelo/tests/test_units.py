"""Meltano's schedules as systemd units and crontab lines."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from sync_rules.exits import ConfigurationError

from paralelo import project, units
from paralelo.cli import units as units_command

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("*/15 * * * *", ["*-*-* *:0..59/15:00"]),
        ("0 2 * * 0", ["Sun *-*-* 02:00:00"]),
        ("30 1,13 1-7 */2 *", ["*-1..12/2-01..07 01,13:30:00"]),
        ("5 4 1 * 1-5", ["*-*-01 04:05:00", "Mon,Tue,Wed,Thu,Fri *-*-* 04:05:00"]),
        ("0 0 * * 7", ["Sun *-*-* 00:00:00"]),
        ("0 0 */2 * 1", ["Mon *-*-1..31/2 00:00:00"]),
        ("10/20 * * * *", ["*-*-* *:10..59/20:00"]),
        ("0 2 * * mon", ["Mon *-*-* 02:00:00"]),
        ("0 2 1 JAN,jul Mon-fri", ["*-01,07-01 02:00:00", "Mon,Tue,Wed,Thu,Fri *-01,07-* 02:00:00"]),
        ("0 0 * * 1-5/2", ["Mon,Wed,Fri *-*-* 00:00:00"]),
        ("0 0 1 * */2", ["Sun,Tue,Thu,Sat *-*-01 00:00:00"]),
    ],
)
def test_cron_as_systemd_says_it(cron: str, expected: list[str]) -> None:
    assert units.calendars(cron) == expected


@pytest.mark.parametrize(
    "cron", ["", "* * * *", "61 * * * *", "*/0 * * * *", "x * * * *", "0 0 * * 5-3", "0 0 * * */0", "0 mon * * *"]
)
def test_what_cannot_be_said_is_refused(cron: str) -> None:
    with pytest.raises(ConfigurationError):
        units.calendars(cron)


def test_every_schedule_gets_a_service_and_a_timer_that_run_its_job_under_recovery() -> None:
    files = units.systemd(ROOT, user="paralelo")
    names = {schedule.name for schedule in units.schedules(ROOT)}
    assert set(files) == {f"paralelo-{name}.{kind}" for name in names for kind in ("service", "timer")}
    service = files["paralelo-incremental-bi-credores-every-15-minutes.service"]
    assert "auto_recovery.py incremental bi-credores parallel-incremental-sync-bi-credores" in service
    assert "SuccessExitStatus=5" in service
    assert "User=paralelo\n" in service
    assert "$" not in "".join(files.values())
    assert "OnCalendar=*-*-* *:0..59/15:00" in files["paralelo-incremental-bi-credores-every-15-minutes.timer"]


def test_plain_units_run_meltano_itself() -> None:
    service = units.systemd(ROOT, plain=True)["paralelo-full-bi-credores-weekly.service"]
    assert "/meltano schedule run full-bi-credores-weekly" in service
    assert "User=" not in service


def test_crontab_lines() -> None:
    [line] = [line for line in units.crontab(ROOT) if "full bi-credores" in line]
    assert line.startswith("0 2 * * 0 cd ")


def test_a_crontab_lines_log_is_its_owners_alone_and_other_files_are_as_ever(tmp_path: Path) -> None:
    (tmp_path / "extract").mkdir()
    (tmp_path / "meltano.yml").write_text("schedules: [{name: x, interval: '@daily', job: j}]")
    meltano = tmp_path / ".venv" / "bin" / "meltano"
    meltano.parent.mkdir(parents=True)
    meltano.write_text("#!/bin/sh\necho $*; touch logs/paralelo.prom\n")
    meltano.chmod(0o755)
    [line] = units.crontab(tmp_path)
    subprocess.run(["/bin/sh", "-c", line.removeprefix("0 0 * * * ")], check=True, umask=0o022)
    assert (tmp_path / "logs" / "cron-x.log").read_text() == "schedule run x\n"
    modes = {path.name: path.stat().st_mode & 0o777 for path in [tmp_path / "logs", *(tmp_path / "logs").iterdir()]}
    assert modes == {"logs": 0o755, "cron-x.log": 0o600, "paralelo.prom": 0o644}


def test_a_per_cent_sign_ends_no_crontab_line(tmp_path: Path) -> None:
    root = tmp_path / "100%"
    (root / "extract").mkdir(parents=True)
    (root / "meltano.yml").write_text("schedules: [{name: x, interval: '@daily', job: j}]")
    [line] = units.crontab(root)
    assert r"/100\%" in line
    assert "%" not in line.replace(r"\%", "")


def test_what_a_schedule_sets_is_in_no_unit_and_in_no_command_line(tmp_path: Path) -> None:
    for folder in ("extract", "ops"):
        (tmp_path / folder).symlink_to(ROOT / folder)  # SPEC O3
    (tmp_path / "meltano.yml").write_text(
        "schedules: [{name: nightly x, interval: '@daily', job: parallel-full-sync-bi-credores,"
        " env: {TAP_MSSQL_PASSWORD: a-planted-secret}}]"
    )
    [line] = [line for line in units.crontab(tmp_path) if "nightly" in line]
    assert "a-planted-secret" not in line
    assert "parallel-full-sync-bi-credores --schedule 'nightly x' >>" in line
    assert units.environment(tmp_path, "nightly x") == {"TAP_MSSQL_PASSWORD": "a-planted-secret"}
    with pytest.raises(ConfigurationError, match="no schedule gone"):
        units.environment(tmp_path, "gone")


@pytest.mark.parametrize("name", ["a b", "a/b", "../x", "a%b", "diária", ""])
def test_a_schedule_whose_name_no_unit_can_have_is_refused(tmp_path: Path, name: str) -> None:
    for folder in ("extract", "ops"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / "meltano.yml").write_text(f"schedules: [{{name: '{name}', interval: '@midnight', job: j}}]")
    with pytest.raises(ConfigurationError, match="a unit's name"):
        units.systemd(tmp_path)
    assert "logs/cron-a-b.log" in "".join(units.crontab(tmp_path)) or name != "a/b"


def test_a_schedules_settings_are_read(tmp_path: Path) -> None:
    (tmp_path / "extract").mkdir()
    (tmp_path / "meltano.yml").write_text(
        "schedules: [{name: x, interval: '@daily', job: j, env: {A: 1}}, {name: y, interval: '@once', job: j}]"
    )
    assert units.schedules(tmp_path) == [units.Schedule("x", "0 0 * * *", "j", (("A", "1"),))]


@pytest.mark.parametrize(
    "written", ["[{interval: '@daily', job: j}]", "[{name: x, interval: '@daily', job: j, env: [a]}]", "{a: b}", "[x]"]
)
def test_a_schedule_that_is_none_is_a_setting_to_mend(tmp_path: Path, written: str) -> None:
    (tmp_path / "extract").mkdir()
    (tmp_path / "meltano.yml").write_text(f"schedules: {written}")
    with pytest.raises(ConfigurationError, match="a schedule in"):
        units.schedules(tmp_path)


def test_of_two_schedules_of_one_name_none_is_lost_in_silence(tmp_path: Path) -> None:
    (tmp_path / "extract").mkdir()
    (tmp_path / "meltano.yml").write_text("schedules: [{name: x, interval: '@daily', job: j}]")
    (tmp_path / "extract" / "t.meltano.yml").write_text("schedules: [{name: x, interval: '@hourly', job: k}]")
    with pytest.raises(ConfigurationError, match="two schedules are called x"):
        units.schedules(tmp_path)


def test_units_of_no_schedule_any_more_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "paralelo-gone.timer").touch()
    assert units_command.main(["--to", str(tmp_path)]) == 0
    assert "paralelo-gone.timer" in capsys.readouterr().err


def test_what_stands_for_something_in_a_unit_is_doubled() -> None:
    assert units._quoted("/data/100% $HOME/x") == '"/data/100%% $$HOME/x"'


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_itself_understands_a_folder_of_any_name(tmp_path: Path) -> None:
    root, written = tmp_path / "Área d'água $x 5%", tmp_path / "units"
    root.symlink_to(ROOT)
    written.mkdir()
    for name, text in units.systemd(root).items():
        (written / name).write_text(text, encoding="utf-8")
    services = sorted(map(str, written.glob("*.service")))
    told = subprocess.run(["systemd-analyze", "verify", *services], capture_output=True, text=True, check=False)
    assert "special characters" not in told.stderr
    assert "fatal error" not in told.stderr


def test_every_table_is_scheduled() -> None:
    jobs = {schedule.job for schedule in units.schedules(ROOT)}
    assert {job for table in project.tables(ROOT) for job in table.jobs.values()} <= jobs


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_itself_understands_the_calendars() -> None:
    for schedule in units.schedules(ROOT):
        for when in units.calendars(schedule.interval):
            subprocess.run(["systemd-analyze", "calendar", when], check=True, capture_output=True)


def test_schedules_of_a_source_without_settings_are_left_out_unless_none_has_any() -> None:
    root = project.root()
    everything = {schedule.name for schedule in units.schedules(root)}
    some = {schedule.name for schedule in units.schedules(root, {"TAP_MSSQL_HOST": "h"})}
    assert "incremental-bi-credores-every-15-minutes" in some
    assert "incremental-order-hdr-every-15-minutes" in everything - some
    assert {schedule.name for schedule in units.schedules(root, {})} == everything
