"""Reads images from, and writes them to, layouts, archives, daemons and registries."""
