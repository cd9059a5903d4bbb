"""What the documentation says can be typed, followed and set: its links, commands, settings, codes and spelling."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from dotenv import dotenv_values
from ruamel.yaml import YAML
from sync_rules.exits import Exit

from paralelo import project
from paralelo.propose import slug

ROOT = project.root()
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "plugins").glob("*/README.md")],
    key=lambda page: page.relative_to(ROOT).as_posix(),
)
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^|\n)\n((?: {4}.*\n)+)")
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
PLACEHOLDER = re.compile(r"[<…]|\.\.\.")
AMERICAN = re.compile(
    r"\b(behavior|color|center|favorite|gray|canceled|license|analyz|organiz|recogniz|initializ|normaliz|optimiz"
    r"|serializ|summariz|synchroniz|minimiz|maximiz|utiliz)\w*",
    re.IGNORECASE,
)


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _prose(text: str) -> str:
    return INLINE.sub("", INDENTED.sub("\n", FENCED.sub("", text)))


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _commands(text: str) -> Iterator[str]:
    """Every command line in a page's blocks and inline code; comments cut off, continued lines joined."""
    blocks = [block for language, block in FENCED.findall(text) if language in ("", "bash", "sh", "console")]
    blocks += INDENTED.findall(text)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    for line in [*lines, *INLINE.findall(text)]:
        for part in re.split(r"\s\|\s|&&", line.split(" #")[0]):
            yield re.sub(r"^(?:\s*[A-Z_]+=\S* )+|^\.venv/bin/", "", part.strip())


@cache
def _help(*command: str) -> str:
    """What the command says of itself; fails where it is not there."""
    done = subprocess.run(
        [*command, "--help"], cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{' '.join(command)} --help ended with {done.returncode}: {done.stderr[-300:]}"
    return done.stdout


@cache
def _makefile_targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z][a-z-]*):", _text("Makefile"), re.MULTILINE))


def _python(words: list[str]) -> list[str] | None:
    """How to ask a Python command of ours for its options, its subcommand included; None where it is not ours."""
    if words[:2] == ["python", "-m"]:
        if words[2].split(".")[0] not in ("paralelo", "sandbox", "stores", "tests", "tap_oracle_wms"):
            return None
        start, rest = [sys.executable, "-m", words[2]], words[3:]
    elif words[0] == "python" and words[1].startswith("scripts/"):
        start, rest = [sys.executable, words[1]], words[2:]
    elif words[0].startswith("./scripts/"):
        start, rest = [words[0]], words[1:]
    else:
        return None
    subcommands = "..." in _help(*start).partition("\n\n")[0] or rest[:1] == ["check_recovery"]
    if subcommands and rest and not rest[0].startswith("-"):
        start.append(rest[0])
    return start


@pytest.mark.parametrize("name", NAMES)
def test_links_and_anchors_resolve(name: str) -> None:
    text, page = _text(name), ROOT / name
    for target in LINK.findall(INLINE.sub("", FENCED.sub("", text))):
        if re.match(r"(https?|mailto):", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{name} links to {target}, which is not there"
        if anchor:
            assert anchor in _anchors(linked.read_text(encoding="utf-8")), f"{name}: no heading for {target}"


@pytest.mark.parametrize("name", NAMES)
def test_commands_exist_with_their_options(name: str) -> None:
    for command in _commands(_text(name)):
        if not re.match(r"(make|python|\./scripts)\b", command) and not command.startswith("./scripts/"):
            continue
        words = PLACEHOLDER.split(command)[0].replace("[", " ").replace("]", " ").split()
        if len(words) < 2 and words != ["make"] and not words[0].startswith("./scripts/"):
            continue
        if words[0] == "make":
            targets = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
            assert set(targets) <= _makefile_targets(), f"{name}: `{command}` is no target of the Makefile"
            continue
        ours = _python(words)
        if ours:
            said = _help(*ours)
            for option in OPTION.findall(command):
                assert option in said or option == "--help", f"{name}: `{command}`: {option} is no option of it"


@pytest.mark.parametrize("name", NAMES)
def test_meltano_jobs_exist(name: str) -> None:
    text = _text(name)
    jobs = set()
    files = [path.read_text(encoding="utf-8") for path in (ROOT / "extract").glob("*.meltano.yml")]
    for block in [*files, *(block for language, block in FENCED.findall(text) if language == "yaml")]:
        jobs |= {job["name"] for job in (YAML(typ="safe").load(block) or {}).get("jobs") or []}
    for added in re.findall(r"add_table\.py (?:\w+\.)(\w+)", text):
        jobs |= {f"parallel-{mode}-sync-{slug(added)}" for mode in project.MODES}
    for named in re.findall(r"meltano run (?:--[\w-]+ )*(parallel-[\w-]*\w)", text):
        assert named in jobs or named.endswith("-sync"), f"{name}: no job is called {named}"


@pytest.mark.parametrize("name", NAMES)
def test_yaml_blocks_parse(name: str) -> None:
    for language, block in FENCED.findall(_text(name)):
        if language in ("yaml", "yml"):
            assert YAML(typ="safe").load(block), f"{name}: an empty YAML block"


def _settings() -> dict[str, set[str]]:
    """By prefix of its environment variables, each plugin's settings."""
    found = {}
    for path in [*(ROOT / "extract").glob("*.meltano.yml"), *(ROOT / "load").glob("*.meltano.yml")]:
        plugins = (YAML(typ="safe").load(path.read_text(encoding="utf-8")) or {}).get("plugins") or {}
        for plugin in [*plugins.get("extractors", []), *plugins.get("loaders", [])]:
            if plugin.get("settings"):
                prefix = plugin["name"].upper().replace("-", "_") + "_"
                found[prefix] = {setting["name"] for setting in plugin["settings"]}
    return found


def _is_setting(variable: str) -> bool:
    for prefix, settings in _settings().items():
        if variable.startswith(prefix):
            return variable.removeprefix(prefix).lower() in {*settings, "loglevel"}
    return False


VARIABLE = re.compile(r"\b(?:TAP_MSSQL|TAP_ORACLE_WMS|TAP_SQLITE|TARGET_POSTGRES)_[A-Z_]*[A-Z]\b(?!_)")
ENVIRONMENTS = (".env.example", "deploy/production.env.example", "deploy/compose.yml")


@pytest.mark.parametrize("name", [*NAMES, *ENVIRONMENTS])
def test_settings_named_by_their_variables_exist(name: str) -> None:
    for variable in VARIABLE.findall(_text(name)):
        assert _is_setting(variable), f"{name}: {variable} is no setting of its plugin"


def test_settings_of_the_tuning_page_exist() -> None:
    known = set().union(*_settings().values())
    named = {word for word in INLINE.findall(_text("docs/tuning.md")) if re.fullmatch(r"[a-z]+(_[a-z]+)+", word)}
    assert len(named) > 10
    assert named <= known


@pytest.mark.parametrize("name", [*NAMES, ".env.example", "deploy/production.env.example"])
def test_variables_of_our_own_are_read_somewhere(name: str) -> None:
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("paralelo", "plugins", "sandbox", "scripts", "stores", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if path != Path(__file__)
    )
    for variable in re.findall(r"\b(?:PARALELO|DATABASE|SQLITE_STORES)_[A-Z_]*[A-Z]\b(?!_)", _text(name)):
        assert variable in code or variable.removeprefix("PARALELO_") in code, f"{name}: nothing reads {variable}"


def test_every_exit_code_is_explained() -> None:
    for page, heading in (("README.md", "## Exit codes"), ("docs/protocol.md", "## Exit codes")):
        table = _text(page).partition(heading)[2]
        assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == set(Exit), page
    portuguese = re.findall(r"^\| (\d+(?:, \d+)*) \|", _text("README.pt-BR.md"), re.MULTILINE)
    assert {int(code) for row in portuguese for code in row.split(",")} == {*set(Exit), 130, 143}
    runbook = _text("docs/runbook.md").partition("| exit | do |")[2].partition("\n## ")[0]
    told = {int(code) for row in re.findall(r"^\|([^|]*)\|", runbook, re.MULTILINE) for code in re.findall(r"\d+", row)}
    assert set(Exit) - {Exit.FINISHED} <= told


def test_every_alert_is_in_the_runbook() -> None:
    alerts = re.findall(r"- alert: (\w+)", _text("ops/prometheus-alerts.yml"))
    assert alerts
    assert [alert for alert in alerts if alert not in _text("docs/runbook.md")] == []


def test_every_page_is_in_the_menu() -> None:
    told = _text("mkdocs.yml") + _text("docs/hooks/project_pages.py")
    assert [page.name for page in (ROOT / "docs").glob("*.md") if page.name not in told] == []


@pytest.mark.parametrize("name", NAMES)
def test_spelling_is_british(name: str) -> None:
    assert AMERICAN.search(_prose(_text(name)).replace("LICENSE", "")) is None


def test_containers_take_their_passwords_from_the_environment() -> None:
    compose = YAML(typ="safe").load(_text("deploy/compose.yml"))
    services = compose["services"]
    assert set(services["paralelo"]["depends_on"]) <= set(services)
    assert (ROOT / "deploy" / services["paralelo"]["build"]["context"]).resolve() == ROOT
    assert (ROOT / services["paralelo"]["build"]["dockerfile"]).is_file()
    for service in services.values():
        for variable, value in service["environment"].items():
            if "PASSWORD" in variable:
                assert re.match(r"\$\{\w+:\?", value), f"{variable} is written down"


def test_the_production_environment_proves_who_the_servers_are() -> None:
    values = dotenv_values(ROOT / "deploy" / "production.env.example")
    assert values["TARGET_POSTGRES_SSL_MODE"] == "verify-full"
    assert values["TAP_MSSQL_ENCRYPT"] in ("yes", "strict")
    assert values["TAP_MSSQL_TRUST_SERVER_CERTIFICATE"] == "false"
    assert values["MELTANO_STATE_BACKEND_URI"] != ""
    assert [name for name, value in values.items() if "PASSWORD" in name and value] == []
