"""The embedded default: what a newcomer needs to see Paralelo run, on one machine."""
