"""What an Arrow batch file says of itself, in its schema's metadata."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

import pyarrow as pa

METADATA_KEY = b"paralelo"

Mode = Literal["full", "incremental"]
KeyValue = int | str
Key = tuple[KeyValue, ...]
"""One value for each key column: integers as they are, everything else as the source's exact text."""


@dataclass(frozen=True)
class BatchInfo:
    """Which rows a file holds.

    `batch` counts from 1 within a version and has no gaps, over resumes too. `after` is the bookmark before the
    batch (None for the first), `through` the one after it. Incremental batches have no version, and their `after`
    and `through` are None: they are told apart by nothing, since an upsert may be repeated.
    """

    stream: str
    mode: Mode
    batch: int
    rows: int
    version: int | None = None
    after: Key | None = None
    through: Key | None = None

    def add_to(self, schema: pa.Schema) -> pa.Schema:
        """The schema with this information in its metadata."""
        return schema.with_metadata({**(schema.metadata or {}), METADATA_KEY: json.dumps(asdict(self)).encode()})

    @classmethod
    def read_from(cls, schema: pa.Schema) -> BatchInfo | None:
        """What the schema's metadata says, or None for a file that some other program wrote.

        Raises ValueError for metadata that is there and cannot be read.
        """
        raw = (schema.metadata or {}).get(METADATA_KEY)
        if raw is None:
            return None
        try:
            fields = json.loads(raw)
            for name in ("after", "through"):
                if fields.get(name) is not None:
                    fields[name] = tuple(fields[name])
            return cls(**fields)
        except (TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"the batch file's `paralelo` metadata cannot be read: {error}") from error
