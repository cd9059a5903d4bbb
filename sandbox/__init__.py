"""The sandbox: an embedded PostgreSQL, a SQL Server stand-in and generated data, all on this machine.

`Sandbox(folder)` starts and stops the two servers; `python -m sandbox` is the same from a shell.
"""

from .home import Settings, default_folder
from .lifecycle import NotStarted, Sandbox

__all__ = ["NotStarted", "Sandbox", "Settings", "default_folder"]
