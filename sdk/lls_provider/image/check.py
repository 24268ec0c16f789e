"""Checks an image: its configuration and labels, then every rule of the bundle in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lls_provider.bundle.checks import bundle as bundle_rules
from lls_provider.bundle.checks.elf import native_files
from lls_provider.bundle.checks.report import Finding, Findings, Report
from lls_provider.contract.names import IMAGE_ROOT, ZIPAPP_FILE
from lls_provider.errors import Code, ExitStatus, SdkError, Where
from lls_provider.image.bundle_image import PREFIX, base_length, unpack
from lls_provider.image.image import Image
from lls_provider.image.inspect.pythons import base_facts, check_base_image
from lls_provider.image.transports.registry.transfer import RemoteLayer
from lls_provider.image.transports.transport import find_image
from lls_provider.progress import SILENT, counted, shown_size
from lls_provider.runtime.target_python import TargetPython, machine_of, shown_platform
from lls_provider.system.cache import scratch

if TYPE_CHECKING:
    from lls_provider.bundle.checks.bundle import Collected
    from lls_provider.contract.models import ProviderPackage
    from lls_provider.image.image import Platform
    from lls_provider.progress import Progress

_RULE = "image"


def check_place(
    text: str,
    platform: Platform | None = None,
    *,
    insecure: bool = False,
    progress: Progress = SILENT,
) -> Report:
    """Return every finding about the image that the command line names as ``text``.

    Of an index every image is checked, or the one for ``platform``. Files in an image are named by
    their path in it. Errors of the image are findings; raises SdkError only when this machine or a
    registry fails (NO_SPACE, NETWORK and so on).
    """
    findings = Findings()
    try:
        found = find_image(text, insecure=insecure, progress=progress)
        content = found.image(platform) if platform is not None else found.whole()
    except SdkError as error:
        if error.status is not ExitStatus.WRONG:  # not an error of the image
            raise
        findings.add(_RULE, "error", bundle_rules.problems_of(error))
        return findings.report(text, "image")
    if isinstance(content, Image):
        return Report(text, "image", check_image(content))
    images = content.images
    if not images:
        findings.error(
            _RULE,
            Code.IMAGE_INVALID,
            "The index lists no image",
            resolution="Build it again with `lls-provider build --platform`.",
        )
    else:
        platforms = ", ".join(str(image.platform) for image in images)
        findings.ok(_RULE, f"an index of {counted(len(images), 'image')}: {platforms}")
    for image in images:
        findings.found += [
            replace(finding, platform=str(image.platform)) for finding in check_image(image)
        ]
    return findings.report(text, "index")


def check_image(image: Image) -> tuple[Finding, ...]:
    """Return the findings about an image from any source."""
    findings = Findings()
    with scratch("check") as directory:
        root = directory / "bundle"
        try:
            unpack(image, root)
        except SdkError as error:
            if error.status is not ExitStatus.WRONG:
                raise
            findings.add(_RULE, "error", bundle_rules.problems_of(error))
            return tuple(findings.found)
        size = f"{counted(len(image.layers), 'layer')}, {shown_size(image.size)}"
        findings.ok(_RULE, f"{size}; those that make up {IMAGE_ROOT} have their digests")
        _configuration(image, findings)
        collected = bundle_rules.collect(root, findings)
        _platform(image, collected, findings)
        _base(image, collected, findings)
        if collected.package is not None:
            _labels(image, collected.package, findings)
        return tuple(bundle_rules.relabelled(findings.found, root, IMAGE_ROOT))


def _configuration(image: Image, findings: Findings) -> None:
    rule = "kind"
    user = str((image.config.get("config") or {}).get("User") or "")
    if not image.command:
        findings.ok(
            rule,
            "a data image: it starts nothing, so it cannot be an init container by itself, "
            "but it can be mounted or unpacked",
        )
        return
    installer = f"{IMAGE_ROOT}/{ZIPAPP_FILE}"
    if installer in image.command:
        findings.ok(rule, "a runnable image: it starts the installer")
    else:
        findings.warning(
            rule,
            Code.IMAGE_INVALID,
            f"The image starts {' '.join(image.command)!r:.200}, not the installer {installer}",
            resolution="The Pod must name its command, or build the image with "
            "`lls-provider build --base`.",
        )
    name, _, _group = user.partition(":")
    if name in {"", "0", "root"}:
        findings.warning(
            "user",
            Code.IMAGE_INVALID,
            "The image runs as root unless the Pod says otherwise",
            resolution="Set USER 1001; init containers run as non-root (contract section 2).",
        )
    elif not name.isdigit():
        findings.warning(
            "user",
            Code.IMAGE_INVALID,
            f"The image's user is a name, {name!r:.60}: Kubernetes cannot determine that it is not "
            "root",
            resolution="Set a number, such as USER 1001.",
        )


def _platform(image: Image, collected: Collected, findings: Findings) -> None:
    """Compare the wheels with the platform of the image."""
    target = TargetPython(12, image.platform.machine)  # any Python: only the machine is compared
    for wheel in collected.wheels:
        if not any(map(target.accepts_machine, wheel.tags)):
            machine = min(machine_of(tag.platform) or "" for tag in wheel.tags)
            findings.error(
                "platform",
                Code.WHEEL_INCOMPATIBLE,
                f"The image says that it is for {image.platform}, but {wheel.filename} is for "
                f"{shown_platform(machine)}",
                where=Where(file=str(wheel.path)),
                resolution="Build it again with `lls-provider build --platform`, or correct the "
                "architecture in the image's configuration.",
            )


def _base(image: Image, collected: Collected, findings: Findings) -> None:
    """Check that the base can run the installer and has the C library that the wheels need."""
    if f"{IMAGE_ROOT}/{ZIPAPP_FILE}" not in image.command:
        return
    base = image.layers[: base_length(image)]
    if any(isinstance(layer, RemoteLayer) for layer in base):
        findings.ok("base", "not loaded from its registry: `build` looked into it")
        return
    native = collected.native
    if native is None:
        native = {wheel.filename: native_files(wheel) for wheel in collected.wheels}
    check_base_image(base_facts(image), native, image.platform.machine, findings)


def _labels(image: Image, package: ProviderPackage, findings: Findings) -> None:
    """Compare the labels, which `inspect` shows, with the metadata."""
    rule = "labels"
    expected = {
        f"{PREFIX}.name": package.name,
        f"{PREFIX}.version": package.version,
        f"{PREFIX}.api": package.api,
        f"{PREFIX}.type": package.provider_type,
        f"{PREFIX}.module": package.package_name,
    }
    labels = image.labels
    wrong = [
        f"{name} is {labels[name]!r:.100}, the metadata says {value!r:.100}"
        for name, value in expected.items()
        if name in labels and labels[name] != value
    ]
    for what in wrong:
        findings.error(
            rule,
            Code.IMAGE_INVALID,
            f"The label {what}",
            resolution="Build the image again: its labels and content do not belong together.",
        )
    if not wrong and expected.keys() <= labels.keys():
        findings.ok(rule, "the labels agree with the metadata")
