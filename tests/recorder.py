"""What a user would have been given, kept for a test to look at."""

from __future__ import annotations

from lls_provider.progress import Silent


class Recorder(Silent):
    """Keeps notes and warnings."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, text: str, /) -> None:
        self.notes.append(text)

    def warn(self, text: str, /) -> None:
        self.warnings.append(text)
