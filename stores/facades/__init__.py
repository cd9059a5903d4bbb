"""The old classes' public methods, over the repositories."""
