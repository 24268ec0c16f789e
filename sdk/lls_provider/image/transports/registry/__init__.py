"""Registries: references, login, pull and push."""
