"""Meltano's logging configuration for a plugin, where several jobs run the same plugin at once."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

_SETTING = "SINGER_SDK_LOG_CONFIG"
_PATIENCE_SECONDS = 5.0
_PAUSE_SECONDS = 0.01


def settle() -> None:
    """Have the SDK read the configuration from memory, as it was once it was whole.

    Meltano writes it anew for each job into the one run folder of the plugin's name, which all jobs of a loader share:
    at the wrong moment it is empty, or half there, and the SDK ends with a traceback. One that is no JSON, or not to
    be had, is left to the SDK; one that stays unfinished is done without.
    """
    path = os.environ.get(_SETTING)
    if not path or not path.endswith(".json"):
        return
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            content = Path(path).read_bytes()
            if isinstance(json.loads(content), dict):
                break
        except OSError:
            return
        except ValueError:
            pass  # not whole yet
        time.sleep(_PAUSE_SECONDS)
    else:
        del os.environ[_SETTING]
        return
    held = os.memfd_create("log-config")
    os.write(held, content)
    os.environ[_SETTING] = f"/proc/self/fd/{held}"
