"""What tests of the operations share."""

from __future__ import annotations

from tests.factories.provider_files import write_file  # noqa: F401 - a fixture
