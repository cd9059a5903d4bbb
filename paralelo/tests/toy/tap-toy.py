"""A tap that sends as many pages as it is told, from its bookmark on, and then ends as it is told."""

import json
import os
import sys
import time
from pathlib import Path


def word(name, default):
    return os.environ.get(f"TOY_{name}", default)


def once(name):
    """Whether this is the first time anyone asks: faults are for the first attempt alone."""
    mark = Path(os.environ["TOY_MARKS"], name)
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def main():
    arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    config = json.loads(Path(arguments["--config"]).read_text())
    state = json.loads(Path(arguments["--state"]).read_text()) if "--state" in arguments else {}
    done = state.get("bookmarks", {}).get("dbo-toy", {}).get("page", 0)
    if word("SHOUT", ""):
        print(f"cannot log in with {config['password']}", file=sys.stderr)
        print(f"Server=h;PWD={config['password']};", file=sys.stderr)
        print(word("SHOUT", ""), file=sys.stderr, flush=True)
    for page in range(done + 1, int(word("PAGES", "3")) + 1):
        if page == int(word("HALT_AT", "0")) and once("halt"):
            time.sleep(3_600)
        if page == int(word("DIE_AT", "0")) and once("die"):
            sys.exit(int(word("TAP_EXIT", "1")))
        value = {"bookmarks": {"dbo-toy": {"mode": "full", "page": page, "last_key": [1_000 - page], "version": 1}}}
        print(json.dumps({"type": "STATE", "value": value}), flush=True)
        time.sleep(float(word("SECONDS", "0.05")))


main()
