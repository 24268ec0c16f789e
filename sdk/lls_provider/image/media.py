"""The names that the OCI specifications fix: media types, annotations, files of a layout."""

from __future__ import annotations

_OCI = "application/vnd.oci.image"
_DOCKER = "application/vnd.docker"

MANIFEST_TYPE = f"{_OCI}.manifest.v1+json"
INDEX_TYPE = f"{_OCI}.index.v1+json"
CONFIG_TYPE = f"{_OCI}.config.v1+json"
LAYER_TYPE = f"{_OCI}.layer.v1.tar"
# the configuration of an artifact that has none
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"

# what is read; layouts converted from Docker's format keep its names
INDEX_TYPES = (INDEX_TYPE, f"{_DOCKER}.distribution.manifest.list.v2+json")
MANIFEST_TYPES = (MANIFEST_TYPE, f"{_DOCKER}.distribution.manifest.v2+json")
CONFIG_TYPES = (CONFIG_TYPE, f"{_DOCKER}.container.image.v1+json")
PLAIN_LAYER_TYPES = (LAYER_TYPE, f"{_DOCKER}.image.rootfs.diff.tar")
GZIP_LAYER_TYPES = (f"{LAYER_TYPE}+gzip", f"{_DOCKER}.image.rootfs.diff.tar.gzip")
ZSTD_LAYER_TYPES = (f"{LAYER_TYPE}+zstd", f"{_DOCKER}.image.rootfs.diff.tar.zstd")

LAYOUT_FILE = "oci-layout"
LAYOUT_VERSION = "1.0.0"
INDEX_FILE = "index.json"
BLOBS = "blobs"

# a file of a layer that hides what lower layers have in its folder
OPAQUE = ".wh..wh..opq"

ANNOTATION = "org.opencontainers.image"
REF_NAME = f"{ANNOTATION}.ref.name"
