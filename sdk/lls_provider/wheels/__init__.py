"""Interpreters, distributions, closures: build, resolve, fetch and inspect wheels."""
