"""What ``lls-provider build`` was asked for, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lls_provider.image.image import Platform
    from lls_provider.project.settings import Settings


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What the command line asks for, as click hands it over."""

    path: Path | None
    package: str | None
    module: str | None
    api: str | None
    provider_type: str | None
    vendor: str | None
    distributions: tuple[str, ...]
    python: str | None
    platforms: tuple[str, ...]
    base: str | None
    output: tuple[str, ...]
    override: tuple[str, ...]
    bundle: tuple[str, ...]
    default_index: str | None
    index: tuple[str, ...]
    find_links: tuple[str, ...]
    offline: bool
    lock: bool
    locked: bool
    lock_file: Path | None
    allow_failure: str | None
    insecure: bool
    form: str

    def require_consistent(self) -> None:
        """Raises click.UsageError for options that exclude or lack one another.

        Raises SdkError USAGE for what cannot be read.
        """
        from lls_provider.bundle.bundle import require_valid_names

        if not self.output and not self.lock:
            raise click.UsageError("Missing option '--output', such as --output oci:build/image.")
        if self.lock and self.locked:
            raise click.UsageError("Give --lock or --locked, not both.")
        if self.lock_file is not None and not (self.lock or self.locked):
            raise click.UsageError("'--lock-file' goes with --lock or --locked.")
        about_package = ("module", "api", "provider_type", "vendor")
        if self.package is None:
            for name in about_package:
                if getattr(self, name) is not None:
                    raise click.UsageError(
                        f"'--{name.replace('_', '-')}' goes with --package; "
                        "a project says it in [tool.lls-provider]."
                    )
        elif self.path is not None:
            raise click.UsageError("Give a PATH or --package, not both.")
        require_valid_names(self.override, self.bundle)

    def source(self) -> str | Settings:
        """A published package, named as a requirement, or the settings of a project.

        Raises what `read_settings` raises.
        """
        if self.package is not None:
            return self.package
        from lls_provider.project.settings import read_settings

        return read_settings(self.path or Path())

    def chosen_platforms(self, source: str | Settings) -> tuple[Platform, ...]:
        """What to build for: as the command line, else the project, else this machine tells."""
        from lls_provider.errors import SdkError
        from lls_provider.image.image import parse_platforms

        if self.platforms or isinstance(source, str):
            return parse_platforms(self.platforms)
        try:
            return parse_platforms(source.platforms)
        except SdkError as error:
            error.where = source.where("platforms")
            raise

    def chosen_base(self, source: str | Settings) -> str:
        """The base as told, else the project's."""
        if not self.output:
            return "scratch"  # of a lock alone
        if self.base is not None or isinstance(source, str) or source.base is None:
            return self.base or "scratch"
        return source.base
