"""Loads distributions that are images: reads their packages from the layers, executes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from lls_provider.errors import Code, SdkError, Where
from lls_provider.image.transports.transport import is_transport_name, local_file, read_image
from lls_provider.progress import SILENT, Progress, counted
from lls_provider.untrusted import one_line
from lls_provider.wheels import loading
from lls_provider.wheels.distribution import Distribution
from lls_provider.wheels.interpreter import OLDEST, find_interpreter
from lls_provider.wheels.loading import server_among
from lls_provider.wheels.servers import known_modules, line_in

if TYPE_CHECKING:
    from lls_provider.image.image import Image
    from lls_provider.image.inspect.pythons import ImagePython

_FREEZE = (
    "Name a freeze file instead: run `python3 -m pip freeze` in a container of the image with "
    "the Python that the server runs on."
)


def with_images(
    named: Sequence[str | Distribution],
    *,
    python: str | None = None,
    insecure: bool = False,
    progress: Progress = SILENT,
) -> list[str | Distribution]:
    """Return the names, with every image replaced by its distribution.

    An image is named with its transport, such as ``docker://REF`` or ``oci:DIR``. ``insecure``
    accepts registries without TLS. Raises what reading an image and `image_distribution` raise.
    """
    loaded: list[str | Distribution] = []
    for item in named:
        if isinstance(item, str) and is_transport_name(item):
            progress.step(f"reading the packages of {item}")
            image = read_image(item, insecure=insecure, progress=progress)
            loaded.append(image_distribution(image, item, python=python, progress=progress))
        else:
            loaded.append(item)
    return loaded


def load_distributions(
    named: Sequence[str | Distribution],
    *,
    python: str | None = None,
    at_least: tuple[int, int] = OLDEST,
    insecure: bool = False,
    progress: Progress = SILENT,
) -> tuple[Distribution, ...]:
    """Load the named distributions, including images.

    Raises what `with_images` and `loading.load_distributions` raise.
    """
    loaded = with_images(named, python=python, insecure=insecure, progress=progress)
    return loading.load_distributions(loaded, python=python, at_least=at_least, progress=progress)


def load_distribution(
    named: str | Distribution,
    *,
    python: str | None = None,
    insecure: bool = False,
    progress: Progress = SILENT,
) -> Distribution:
    """Load one distribution; raises what `load_distributions` raises."""
    (found,) = load_distributions([named], python=python, insecure=insecure, progress=progress)
    return found


def image_distribution(
    image: Image, label: str, *, python: str | None = None, progress: Progress = SILENT
) -> Distribution:
    """Return the packages of the server's Python in ``image``, cached by the image's digest.

    ``python`` names a Python of this machine; its minor version must be the image's. Raises
    SdkError IMAGE_INVALID, DISTRIBUTION_INVALID when no environment is the server's, USAGE for
    another Python than the image's, PYTHON_MISSING when this machine has no such Python.
    """
    # every build checks whether a distribution is an image; few are
    from lls_provider.image.inspect.file_system import cached_facts
    from lls_provider.image.inspect.pythons import ImagePython

    chosen, others = cached_facts(
        image,
        "distributions",
        lambda: _look(image, label),
        dump=lambda seen: {"python": asdict(seen[0]), "others": seen[1]},
        load=lambda seen: (ImagePython.of(seen["python"]), int(seen["others"])),
    )
    for text in chosen.unreadable:
        progress.warn(f"passed over in {label}: {one_line(text)}")
    progress.note(
        f"{label}: {counted(len(chosen.pins), 'package')} of {one_line(str(chosen))}"
        + (f" ({counted(others, 'other environment')} passed over)" if others else "")
    )
    version = ".".join(map(str, chosen.minor))
    interpreter = find_interpreter(
        minimum=OLDEST, exactly=None if python else chosen.minor, explicit=python
    )
    if interpreter.minor != chosen.minor:
        raise SdkError(
            Code.USAGE,
            f"The server in {label} runs on Python {version}, not on {interpreter}",
            why=f"Its packages are those of {chosen}.",
            where=Where(image=label),
            resolution=f"Leave --python out, or name a Python {version}.",
        )
    line = line_in(chosen.pins)
    file = local_file(label) if is_transport_name(label) else None
    portable = (server_among(chosen.pins, line) or file.name) if file is not None else ""
    return Distribution(
        label,
        chosen.pins,
        interpreter,
        line,
        portable=portable,
        requires=chosen.requires,
        modules=_modules(chosen),
    )


def _modules(chosen: ImagePython) -> dict[str, frozenset[str]]:
    """Return the modules of each package, from RECORD or else from a profile."""
    known = known_modules()
    return {
        name: frozenset(chosen.modules.get(name, ())) or known.get(name, frozenset())
        for name in chosen.pins
    }


def _look(image: Image, label: str) -> tuple[ImagePython, int]:
    """Return the server's environment, and the number of others in the image."""
    from lls_provider.image.inspect.configuration import image_variables
    from lls_provider.image.inspect.file_system import read_filesystem
    from lls_provider.image.inspect.pythons import choose_python, find_pythons

    files = read_filesystem(image)
    variables = image_variables(image)
    pythons = find_pythons(files, variables)
    chosen = choose_python(pythons, files, variables)
    if chosen is None:
        raise _undecided(label, pythons)
    return chosen, len(pythons) - 1


def _undecided(label: str, pythons: Sequence[ImagePython]) -> SdkError:
    if not pythons:
        why = "No layer has a Python with packages (a site-packages or dist-packages directory)."
    else:
        why = "It has several Pythons, and neither a server nor PATH says which one counts:\n"
        why += "\n".join(f"  {counted(len(it.pins), 'package')} of {it}" for it in pythons)
    return SdkError(
        Code.DISTRIBUTION_INVALID,
        f"Cannot say which packages the server in {label} has",
        why=why,
        where=Where(image=label),
        resolution=_FREEZE,
    )
