"""The benchmark: one adapter per contender, the same source, target and rows, ratios from within a round."""
