"""The {{ cookiecutter.kind }} {{ cookiecutter.api }} provider {{ cookiecutter.name }}."""
