"""End to end: the program as its users run it, on the sandbox."""
