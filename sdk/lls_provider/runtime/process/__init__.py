"""Processes of the runtime: workers, prefetch, signals and exit."""
