"""Phase 2: the distribution's own configuration, copied to where merge reads it.

Runs in the distribution's image (contract section 2), from the copy of the runtime on the volume.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from lls_provider.contract.document import read_bytes
from lls_provider.contract.limits import CONFIGURATION, document_limits
from lls_provider.contract.names import CONFIG_VARIABLES, DISTRIBUTION_CONFIGS, VolumeTree
from lls_provider.errors import Code, SdkError
from lls_provider.runtime.messages import volume_error
from lls_provider.system.files import write_atomically


def extract(root: Path, *, given: str | None = None, image_root: Path = Path("/")) -> Path:
    """Copy the distribution's configuration to ``base-config/run.yaml``; returns where it was.

    ``given`` is the path to take; otherwise those that the image's variables name and the known
    ones are tried in order, below ``image_root``. The file is copied as it is: merge reads it, with
    line and column for what is wrong. Raises SdkError FILE_MISSING naming every path that was
    tried, FILE_UNREADABLE, YAML_LIMIT, VOLUME_UNWRITABLE or NO_SPACE.
    """
    tried = candidates(os.environ, given)
    source = find(tried, image_root)
    if source is None:
        raise _missing(tried, given)
    data = read_bytes(source, str(source), limits=document_limits(CONFIGURATION))
    target = VolumeTree(root).base_config
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, data, mode=0o644)
    except OSError as error:
        raise volume_error(error, "writing the base configuration", target.parent) from error
    return source


def candidates(environment: Mapping[str, str], given: str | None) -> tuple[str, ...]:
    """The paths to try, each once."""
    if given is not None:
        return (given,)
    named = [environment.get(name) for name in CONFIG_VARIABLES]
    return tuple(dict.fromkeys([*filter(None, named), *DISTRIBUTION_CONFIGS]))


def find(tried: Sequence[str], image_root: Path) -> Path | None:
    """The first of the paths at which there is a file."""
    found = (image_root / path[1:] if path.startswith("/") else Path(path) for path in tried)
    return next((path for path in found if path.is_file()), None)


def _missing(tried: Sequence[str], given: str | None) -> SdkError:
    paths = "\n".join(f"  {path}" for path in tried)
    return SdkError(
        Code.FILE_MISSING,
        "The distribution's image has no configuration"
        + (f" at {given}" if given is not None else " at a known path"),
        why=f"Tried:\n{paths}",
        resolution="Supply the configuration in a ConfigMap (in a provider file: "
        "'server.configMap' or 'server.config'), or name its path in the image "
        "('server.configPath', or --config-path).",
    )
