"""Tab completion for bash and zsh: `eval "$(python scripts/completion.py)"`."""

import sys

import _environment  # noqa: F401 - first: it may start the command anew

from paralelo.completion import bash

if __name__ == "__main__":
    sys.stdout.write(bash())
