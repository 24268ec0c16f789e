"""Record: the zipapp's copy, the list of packages, and the provider's folder last.

All of it is written beside the packages in the staging folder first, so that a volume that is
full or failing says so while nothing that is installed was touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lls_provider.contract.document import dump, load
from lls_provider.contract.paths import CRD_CONFIG_FILE, SPEC_FILE
from lls_provider.runtime.carry import place_zipapp
from lls_provider.runtime.record import RECORD_FILE, ProviderRecord, installed_packages_text
from lls_provider.runtime.unpack import set_folder_times
from lls_provider.runtime.volume import Volume, make_folder, write_file

if TYPE_CHECKING:
    from lls_provider.contract.models import CrdConfig

_METADATA = "metadata"
_FILES = (SPEC_FILE, CRD_CONFIG_FILE, RECORD_FILE)  # the record last: by it a rerun is judged


def crd_config_bytes(crd: CrdConfig) -> bytes:
    """The file ``crd-config.yaml``, proven to be readable again.

    Raises SdkError YAML_LIMIT when the configuration is larger than the merge would read.
    """
    data = dump(crd.to_document()).encode()
    load(data, CRD_CONFIG_FILE)
    return data


def prepare(
    volume: Volume,
    record: ProviderRecord,
    others: Sequence[ProviderRecord],
    *,
    spec: bytes,
    crd_config: bytes,
) -> None:
    """Write into the staging folder all that `publish` puts in its place. Raises OSError."""
    folder = volume.staging / _METADATA / record.provider_id
    make_folder(folder)
    for name, data in zip(_FILES, (spec, crd_config, record.dump()), strict=True):
        write_file(folder / name, data)
    set_folder_times(folder, below=False)
    installed = volume.tree.installed_packages.name
    write_file(volume.staging / installed, installed_packages_text([*others, record]).encode())


def publish(volume: Volume, record: ProviderRecord, *, again: bool) -> None:
    """Put in place what `prepare` wrote: by the last rename the provider is visible.

    ``again`` tells that the provider is visible already and keeps its packages: then its files
    change one by one, the record last, and it is complete at each moment. Raises OSError.
    """
    tree = volume.tree
    place_zipapp(volume, record.provider_id)
    (volume.staging / tree.installed_packages.name).replace(tree.installed_packages)
    folder = volume.staging / _METADATA / record.provider_id
    shown = volume.providers / record.provider_id
    if again:
        for name in _FILES:
            (folder / name).replace(shown / name)
        set_folder_times(shown, below=False)
    else:
        make_folder(shown.parent)
        volume.discard(shown)  # no provider's: it has no record
        folder.rename(shown)
    set_folder_times(shown.parent, below=False)
    volume.resume()
    volume.clean_staging()
