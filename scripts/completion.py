"""Tab completion for bash and zsh: `eval "$(python scripts/completion.py)"`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from paralelo.completion import bash

if __name__ == "__main__":
    sys.stdout.write(bash())
