"""The running server as the sandbox's commands see it: where it is, how to ask it, how to stop it."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from sandbox.wms.server import CONTROL, Account, WmsServer

RUNNING = "running.json"
ACCOUNT = "account.json"
_STOP_SECONDS = 30.0


class NotRunning(Exception):
    """The stand-in does not run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"the WMS stand-in of {folder} does not run: python -m sandbox.wms start")


def default_folder() -> Path:
    """`.sandbox/wms` in the project, or below the folder that PARALELO_SANDBOX_DIR names."""
    base = os.environ.get("PARALELO_SANDBOX_DIR")
    return (Path(base) if base else Path(__file__).resolve().parents[2] / ".sandbox") / "wms"


def account(folder: Path) -> Account:
    """The stand-in's account: made up once, kept where only its owner reads it."""
    path = folder / ACCOUNT
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = {
            "user": "paralelo",
            "password": secrets.token_urlsafe(16),
            "client_id": "paralelo-client",
            "client_secret": secrets.token_urlsafe(16),
        }
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(made, file)
    return Account(**json.loads(path.read_text(encoding="utf-8")))


def announce(folder: Path, server: WmsServer) -> None:
    """Say that the server runs; whole or not at all."""
    said = {"pid": os.getpid(), "port": server.port, "base_url": server.base_url, "token_url": server.token_url}
    unfinished = folder / f"{RUNNING}.new"
    unfinished.write_text(json.dumps(said), encoding="utf-8")
    unfinished.replace(folder / RUNNING)


def withdraw(folder: Path) -> None:
    """Say that it runs no more."""
    (folder / RUNNING).unlink(missing_ok=True)


def running(folder: Path) -> dict[str, Any] | None:
    """What the running server said of itself, or None."""
    try:
        said: dict[str, Any] = json.loads((folder / RUNNING).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return said if _is_ours(int(said["pid"])) else None


def stop(folder: Path) -> bool:
    """End the server and wait until it is gone. Returns whether there was one."""
    said = running(folder)
    if said is None:
        withdraw(folder)
        return False
    pid = int(said["pid"])
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while _is_ours(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    withdraw(folder)
    return True


def ask(folder: Path, command: str, content: dict[str, Any]) -> Any:
    """Send one of the sandbox's own commands to the running server. Raises NotRunning."""
    said = running(folder)
    if said is None:
        raise NotRunning(folder)
    who = account(folder)
    credentials = base64.b64encode(f"{who.user}:{who.password}".encode()).decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{said['port']}{CONTROL}{command}",
        data=json.dumps(content).encode(),
        headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=600) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise SystemExit(json.loads(error.read()).get("message", str(error))) from error


def _is_ours(pid: int) -> bool:
    """Whether the process lives and is a stand-in: a process id is given away again after a while."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return b"sandbox.wms" in words and state != "Z"
