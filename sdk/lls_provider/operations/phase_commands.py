"""What the runtime is told in each phase: the same commands in a Pod and on this machine.

A Pod's volume is at the path of the contract, which is the default of ``--root``; on this machine
it is a temporary directory. Everything here is pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from lls_provider.contract.models import init_container
from lls_provider.contract.names import APIS

ARGUMENT_LIMIT = 2048
"""Characters of a configuration as an argument; a larger one is read from a file."""

_ISOLATED = ("-I", "-S")
_SECRET_KEY = re.compile(
    r"passw(or)?d|passphrase|secret|token|api[-_]?key|credential|private[-_]?key|access[-_]?key",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"passw(or)?d|passphrase|secret", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{env\.[^}]*\}")  # the server replaces it when it starts
_USERINFO = re.compile(r"://[^/\s:@]*:[^/\s@]+@")

_Provider = TypeVar("_Provider")


@dataclass(frozen=True, slots=True)
class Installation:
    """The input of one init container (contract section 2, phase 1).

    ``config`` is the configuration as an argument, ``config_file`` a file that has it.
    """

    provider_id: str
    api: str
    image: str
    order: int
    config: Mapping[str, Any] | None = None
    config_file: str | None = None

    @property
    def container_name(self) -> str:
        """The name of its init container."""
        return init_container(self.provider_id)


def in_order(providers: Iterable[_Provider], api: Callable[[_Provider], str]) -> list[_Provider]:
    """The providers in the order of a CR: by API as in the contract, then as they are given."""
    position = {name: index for index, name in enumerate(APIS)}
    return sorted(providers, key=lambda it: position.get(api(it), len(position)))


def runtime_command(python: str, zipapp: str, *arguments: str) -> list[str]:
    """A command of the runtime, isolated from what else is on the path of that Python."""
    return [python, *_ISOLATED, zipapp, *arguments]


def install_arguments(installation: Installation) -> list[str]:
    """The arguments of ``install`` for one provider."""
    arguments = [
        f"--provider-id={installation.provider_id}",
        f"--api={installation.api}",
        f"--image={installation.image}",
        f"--container={installation.container_name}",
        f"--order={installation.order}",
    ]
    if installation.config_file is not None:
        arguments.append(f"--config-file={installation.config_file}")
    elif installation.config is not None:
        arguments.append(f"--config={argument(installation.config)}")
    return arguments


def merge_command(python: str, zipapp: str, *, root: str | None = None) -> list[str]:
    """The command of phase 3."""
    return runtime_command(python, zipapp, "merge", *_root(root))


def preflight_command(
    python: str, zipapp: str, run_yaml: str, *, root: str | None = None
) -> list[str]:
    """The command of phase 4; the server finds the bytecode of what it imports."""
    arguments = ["preflight", "--keep-bytecode", f"--run-yaml={run_yaml}", *_root(root)]
    return runtime_command(python, zipapp, *arguments)


def _root(root: str | None) -> list[str]:
    return [] if root is None else [f"--root={root}"]


def fits_argument(config: Mapping[str, Any]) -> bool:
    """Whether a configuration may be an argument of a container.

    Arguments are shown by `kubectl describe` and are limited in size; Kubernetes replaces ``$(``
    and ``$$`` in them, which a file keeps.
    """
    text = argument(config)
    return (
        len(text) <= ARGUMENT_LIMIT
        and "$$" not in text
        and "$(" not in text
        and not holds_secret(config)
    )


def argument(config: Mapping[str, Any]) -> str:
    """A configuration as the argument of ``--config``."""
    return json.dumps(config, ensure_ascii=False, separators=(",", ":"), default=str)


def holds_secret(value: Any, key: str = "") -> bool:
    """Whether a configuration has a password, a token or a login in a URL, written out.

    A reference such as ``${env.TOKEN}`` is none: the server replaces it.
    """
    if isinstance(value, Mapping):
        return any(holds_secret(item, str(name)) for name, item in value.items())
    if isinstance(value, (list, tuple, set)):
        return any(holds_secret(item, key) for item in value)
    if not isinstance(value, (str, bytes, int)) or isinstance(value, bool):
        return False
    text = _REFERENCE.sub("", value.decode("latin-1") if isinstance(value, bytes) else str(value))
    # max_tokens: 512 is no secret, password: 1234 is one
    secret = _PASSWORD if isinstance(value, int) else _SECRET_KEY
    return bool(text) and bool(secret.search(key) or _USERINFO.search(text))
