"""`python -m sandbox.wms COMMAND`: the WMS stand-in: start, stop, serve, load, mutate, fault, requests, env."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from sandbox.wms import control
from sandbox.wms.entities import ENTITIES, SIZE_OF
from sandbox.wms.requests_log import read, summary
from sandbox.wms.row_file import RowFile, forget
from sandbox.wms.server import LOG, WmsServer
from sandbox.wms.store import Store

START_SECONDS = 120.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except control.NotRunning as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox.wms", description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=control.default_folder(), help="where the stand-in keeps its data"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    start = commands.add_parser("start", help="start the server in the background")
    serve = commands.add_parser("serve", help="serve in the foreground")
    for one in (start, serve):
        one.add_argument("--port", type=int, default=0, help="0 takes a free one")
        one.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    start.set_defaults(run=_start)
    serve.set_defaults(run=_serve)
    commands.add_parser("stop", help="stop the server").set_defaults(run=_stop)

    load = commands.add_parser("load", help="generate rows; a running server is restarted")
    load.add_argument("rows", type=int, help="rows of allocation; order_dtl gets 3 of 10 as many, order_hdr 1 of 10")
    load.add_argument("--entity", choices=sorted(ENTITIES), help="only this entity, with exactly `rows` rows")
    load.add_argument("--seed", type=int, default=1)
    load.add_argument("--if-empty", action="store_true", help="keep rows that are there")
    load.set_defaults(run=_load)

    mutate = commands.add_parser("mutate", help="change rows while the server runs, stamped now")
    mutate.add_argument("entity", choices=sorted(ENTITIES))
    mutate.add_argument("--updates", type=int, default=0)
    mutate.add_argument("--deletes", type=int, default=0)
    mutate.add_argument("--inserts", type=int, default=0)
    mutate.add_argument("--seed", type=int, default=1)
    mutate.set_defaults(run=_mutate)

    fault = commands.add_parser("fault", help="let requests go wrong; without rules, none does any more")
    fault.add_argument("rules", nargs="*", help='JSON, as {"kind": "status", "status": 503, "every": 7, "times": 9}')
    fault.set_defaults(
        run=lambda o: _say(control.ask(o.folder, "faults", {"faults": [json.loads(r) for r in o.rules]}))
    )
    latency = commands.add_parser("latency", help="seconds before each answer")
    latency.add_argument("seconds", type=float)
    latency.set_defaults(run=lambda o: _say(control.ask(o.folder, "latency", {"seconds": o.seconds})))
    requests = commands.add_parser("requests", help="what the request log shows: how many, how fast, how many at once")
    requests.set_defaults(run=lambda o: _say(summary(read(o.folder / LOG))))
    commands.add_parser("env", help="the tap's settings as environment variables").set_defaults(run=_env)
    return parser


def _say(content: object) -> int:
    print(json.dumps(content))  # noqa: T201
    return 0


def _start(options: argparse.Namespace) -> int:
    running = control.running(options.folder)
    if running is not None:
        print(f"already running: {running['base_url']}")  # noqa: T201
        return 0
    options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [sys.executable, "-m", "sandbox.wms", "--folder", str(options.folder), "serve"]
    command += ["--port", str(options.port), "--latency", str(options.latency)]
    with (options.folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=_root()
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        running = control.running(options.folder)
        if running is not None:
            print(f"serving {running['base_url']}")  # noqa: T201
            return 0
        if process.poll() is not None:
            break
        time.sleep(0.05)
    print(f"the server did not start: see {options.folder / 'server.log'}", file=sys.stderr)  # noqa: T201
    return 1


def _serve(options: argparse.Namespace) -> int:
    account = control.account(options.folder)
    server = WmsServer(options.folder, account, port=options.port, latency=options.latency)

    def end(_signum: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    server.start()
    control.announce(options.folder, server)
    try:
        while True:  # `signal.pause()` would miss one that comes just before it
            time.sleep(0.5)
    except KeyboardInterrupt:
        pass
    finally:
        control.withdraw(options.folder)
        server.stop()
    return 0


def _stop(options: argparse.Namespace) -> int:
    control.stop(options.folder)
    print("the WMS stand-in is stopped")  # noqa: T201
    return 0


def _load(options: argparse.Namespace) -> int:
    running = control.running(options.folder)
    if options.if_empty and _is_loaded(options.folder):
        return 0
    control.stop(options.folder)
    store = Store(options.folder)
    for name, entity in ENTITIES.items():
        if options.entity in (None, name):
            rows = options.rows if options.entity else max(1, round(options.rows * SIZE_OF[name]))
            store.load(entity, rows, options.seed)
            forget(entity, options.folder)
            RowFile(entity, store)
            print(f"{name}: {rows:,} rows")  # noqa: T201
    store.close()
    if running is not None:
        return main(["--folder", str(options.folder), "start", "--port", str(running["port"])])
    return 0


def _is_loaded(folder: Path) -> bool:
    if control.running(folder) is not None:
        return True
    store = Store(folder)
    try:
        return all(store.ask(f'SELECT count(*) FROM "{name}"')[0][0] for name in ENTITIES)
    finally:
        store.close()


def _mutate(options: argparse.Namespace) -> int:
    changes = {name: getattr(options, name) for name in ("entity", "updates", "deletes", "inserts", "seed")}
    touched = control.ask(options.folder, "mutate", changes)["touched"]
    print(f"{options.entity}: {touched:,} rows updated, inserted or deleted")  # noqa: T201
    return 0


def _env(options: argparse.Namespace) -> int:
    running = control.running(options.folder)
    if running is None:
        raise control.NotRunning(options.folder)
    account = control.account(options.folder)
    print(f"TAP_ORACLE_WMS_BASE_URL={running['base_url']}")  # noqa: T201
    print(f"TAP_ORACLE_WMS_USERNAME={account.user}")  # noqa: T201
    print(f"TAP_ORACLE_WMS_PASSWORD={account.password}")  # noqa: T201
    # Empty, so that nothing of another WMS stays in force: its token server above all.
    for name in ("TOKEN_URL", "CLIENT_ID", "CLIENT_SECRET", "TOKEN_SCOPE", "CA_FILE", "FACILITY", "COMPANY"):
        print(f"TAP_ORACLE_WMS_{name}=")  # noqa: T201
    return 0


def _root() -> str:
    return os.fspath(Path(__file__).resolve().parents[2])


if __name__ == "__main__":
    sys.exit(main())
