"""The names and paths that the contract fixes: paths, files, APIs (contract sections 1 and 2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

API_VERSION = "llamastack.io/v1alpha1"

SPEC_FILE = "lls-provider-spec.yaml"
FRAGMENT_FILE = "extra-providers.yaml"
CRD_CONFIG_FILE = "crd-config.yaml"
MANIFEST_FILE = "manifest.json"
SBOM_FILE = "sbom.cdx.json"
CONFIG_SCHEMA_FILE = "config-schema.json"
ZIPAPP_FILE = "lls-provider.pyz"
PACKAGES = "packages"

IMAGE_ROOT = "/lls-provider"
VOLUME_ROOT = "/opt/llama-stack"
TERMINATION_LOG = "/dev/termination-log"
TERMINATION_LOG_LIMIT = 4096  # bytes

DISTRIBUTION_CONFIGS = (
    "/opt/app-root/run.yaml",
    "/opt/app-root/config.yaml",
    "/etc/llama-stack/run.yaml",
    "/etc/llama-stack/config.yaml",
    "/etc/ogx/config.yaml",
)
"""Where a distribution's image keeps its configuration, in the order of contract section 2."""

CONFIG_VARIABLES = ("RUN_CONFIG_PATH", "LLAMA_STACK_CONFIG", "OGX_CONFIG")
"""The variables that the entry points of the servers' images take that path from."""


@dataclass(frozen=True, slots=True)
class BundleTree:
    """The files under ``/lls-provider`` of a provider image, below ``root``."""

    root: Path

    @property
    def spec(self) -> Path:
        """The metadata, kind ProviderPackage."""
        return self.root / SPEC_FILE

    @property
    def packages(self) -> Path:
        """The directory of wheels."""
        return self.root / PACKAGES

    @property
    def fragment(self) -> Path:
        """This provider's own ExternalProviders fragment."""
        return self.root / FRAGMENT_FILE

    @property
    def manifest(self) -> Path:
        """Our manifest: hashes, target, what is assumed to be provided."""
        return self.root / MANIFEST_FILE

    @property
    def config_schema(self) -> Path:
        """The JSON Schema of the provider's config class, if the build could read it."""
        return self.root / CONFIG_SCHEMA_FILE

    @property
    def sbom(self) -> Path:
        """What is in the bundle, as CycloneDX."""
        return self.root / SBOM_FILE

    @property
    def zipapp(self) -> Path:
        """The runtime."""
        return self.root / ZIPAPP_FILE


@dataclass(frozen=True, slots=True)
class VolumeTree:
    """The shared volume of a Pod (contract section 2), below ``root``."""

    root: Path

    @property
    def external(self) -> Path:
        """``external-providers``: written in phase 1, read afterwards."""
        return self.root / "external-providers"

    @property
    def python_packages(self) -> Path:
        """What is prepended to the server's PYTHONPATH."""
        return self.external / "python-packages"

    @property
    def metadata(self) -> Path:
        """One directory per installed provider."""
        return self.external / "metadata"

    @property
    def installed_packages(self) -> Path:
        """One line per package that each provider installed."""
        return self.external / "installed-packages.txt"

    @property
    def zipapp(self) -> Path:
        """The copy of the runtime that merge and preflight run from."""
        return self.external / "bin" / ZIPAPP_FILE

    @property
    def base_config(self) -> Path:
        """The distribution's configuration, extracted or mounted."""
        return self.root / "base-config" / "run.yaml"

    @property
    def config(self) -> Path:
        """The directory that merge writes."""
        return self.root / "config"


# In the order of contract section 1: it is also the order of the sections of a CR, and so of
# the init containers. Those from ``responses`` on were added by later servers.
APIS: tuple[str, ...] = (
    "inference",
    "safety",
    "agents",
    "vector_io",
    "datasetio",
    "scoring",
    "eval",
    "tool_runtime",
    "post_training",
    "responses",
    "batches",
    "files",
    "file_processors",
    "messages",
    "interactions",
    "skills",
    "container_runtime",
)

_UNLOADABLE = {
    "container_runtime": "ogx 1.5.0 names the API 'container_runtime', but no supported server can "
    "load a provider of it",
}

_CR_NAMES = {
    "vector_io": "vectorIo",
    "datasetio": "datasetIo",
    "tool_runtime": "toolRuntime",
    "post_training": "postTraining",
    "file_processors": "fileProcessors",
    "container_runtime": "containerRuntime",
}
_FROM_CR = {cr: api for api, cr in _CR_NAMES.items()}


def cr_name(api: str) -> str:
    """The name of an API's section in a CR: ``vector_io`` becomes ``vectorIo``."""
    return _CR_NAMES.get(api, api)


def from_cr_name(name: str) -> str:
    """The API behind a CR's section name: ``datasetIo`` becomes ``datasetio``."""
    return _FROM_CR.get(name, name)


def unloadable(api: str) -> str | None:
    """Why no supported server loads a provider of this API, although one names it; else None."""
    return _UNLOADABLE.get(api)
