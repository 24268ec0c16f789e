"""How the name of an image says where it is: the transports, written as skopeo writes them.

They stand below `image`, which opens them, since a project's settings name images too.
"""

from __future__ import annotations

REGISTRY = "docker://"
DAEMON = "docker-daemon:"
OCI = "oci:"
OCI_ARCHIVE = "oci-archive:"
DOCKER_ARCHIVE = "docker-archive:"
FILES = (OCI, OCI_ARCHIVE, DOCKER_ARCHIVE)
"""Those that are followed by a path."""
TRANSPORTS = (*FILES, DAEMON, REGISTRY)
SCRATCH = "scratch"
"""The base that is none."""
