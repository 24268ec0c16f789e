"""Inspects an image's layers: its files, its Pythons, its packages."""
