"""Processes of the runtime: workers, signals and exit."""
