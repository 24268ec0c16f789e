"""A provider's source tree: scaffold, settings, wheel, tests."""
