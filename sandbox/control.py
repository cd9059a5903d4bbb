"""Commands to the running stand-in, over a socket file that only its owner can open."""

from __future__ import annotations

import hashlib
import json
import socket
import tempfile
from pathlib import Path
from typing import Any


def control_path(folder: Path) -> Path:
    """The socket's file: in the folder, or elsewhere when its path is longer than a socket's name may be."""
    near = folder / "control.sock"
    if len(str(near)) < 100:
        return near
    return Path(tempfile.gettempdir()) / f"paralelo-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}.sock"


def ask(folder: Path, question: dict[str, Any], seconds: float = 600) -> dict[str, Any]:
    """Put one question to the running stand-in. Raises OSError when none runs, RuntimeError when it failed."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(seconds)
        client.connect(str(control_path(folder)))
        client.sendall(json.dumps(question).encode() + b"\n")
        with client.makefile("rb") as lines:
            answer: dict[str, Any] = json.loads(lines.readline() or b'{"error": "the stand-in ended"}')
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer
