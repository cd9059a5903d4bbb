"""How a full sync takes effect: checks, then a swap or a merge."""
