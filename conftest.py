"""For every test: Microsoft's driver finds what the system may lack."""

from tap_mssql import native

native.ready()
