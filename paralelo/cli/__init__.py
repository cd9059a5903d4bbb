"""The operator's commands: what the files in scripts/ call."""
