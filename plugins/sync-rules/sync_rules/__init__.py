"""The rules every Paralelo tap obeys: pages, bookmarks, lookback, Arrow batch files."""

import os

# numpy comes along with what the SDK imports. Nothing here multiplies matrices, and a pool of threads for that costs
# each start of a plugin a tenth of a second of a processor.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
