"""A stand-in for Oracle WMS Cloud's REST API: real HTTP on loopback, generated rows, faults on demand."""
