"""``lls-provider up``: runs all five phases on this machine, with the real server."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from lls_provider.cli.boundary import EXIT_STATUSES, console, current, show, show_document
from lls_provider.cli.options import (
    insecure_option,
    output_options,
    python_option,
    server_option,
    targets_argument,
)
from lls_provider.cli.output import named
from lls_provider.errors import SdkError

if TYPE_CHECKING:
    from lls_provider.local.run import Up


@click.command(
    "up",
    epilog="Example: lls-provider up acme-echo --server 'ogx==1.5.0' --check\n\n" + EXIT_STATUSES,
)
@targets_argument()
@server_option(
    "--server",
    what="The server.  [default: the image in the provider file, or what the target was made for]",
)
@click.option("--check", is_flag=True, help="Stop after the sample calls instead of staying up.")
@click.option(
    "--watch",
    is_flag=True,
    help="Install again and restart the server when the source of a project changes.",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Where the server listens.  [default: a free one]"
)
@click.option(
    "--config",
    "configs",
    multiple=True,
    metavar="[ID=]JSON",
    help="A provider's configuration, as the CR would give it (repeatable).",
)
@click.option(
    "--resource",
    "resources",
    multiple=True,
    metavar="KIND=JSON",
    help="A resource to register, such as models={...} (repeatable).",
)
@click.option(
    "--base-config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration to merge into.  [default: the server's smallest]",
)
@click.option(
    "--env",
    "variables",
    multiple=True,
    metavar="NAME=VALUE",
    help="A variable for the server's environment (repeatable).",
)
@click.option("--call", metavar="'METHOD PATH [JSON]'", help="A call in place of the sample calls.")
@python_option("The Python to run the server on.")
@insecure_option()
@click.option("--keep", is_flag=True, help="Keep the volume, the configuration and the log.")
@output_options()
def command(
    targets: tuple[str, ...],
    server: str | None,
    check: bool,
    watch: bool,
    port: int | None,
    configs: tuple[str, ...],
    resources: tuple[str, ...],
    base_config: Path | None,
    variables: tuple[str, ...],
    call: str | None,
    python: str | None,
    keep: bool,
    insecure: bool,
) -> None:
    """Install each TARGET as a Pod would, start the real server and call it.

    A TARGET is a project, a bundle directory or an image: docker://REF, docker-daemon:REF,
    oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]. Settings come from
    [tool.lls-provider.up] of a project; options win. Without --check the server stays up until
    Ctrl-C.

    The only TARGET may be a provider file (.yaml or .yml): its images are installed for its
    server's image, with the commands that `render` writes. What only a cluster has, such as a
    Secret, is an error that names the option to use.
    """
    from lls_provider.cli.init import offer
    from lls_provider.local.call import parse_call
    from lls_provider.local.from_file import with_provider_file
    from lls_provider.local.plan import (
        UpOptions,
        parse_config,
        parse_environment,
        parse_resource,
        require_watchable,
    )
    from lls_provider.local.run import Up
    from lls_provider.operations.targets import SourceKind, resolve_targets
    from lls_provider.runtime.preflight.probe_client import time_limit

    time_limit()  # reports a wrong value before any work
    options = UpOptions(
        server=server,
        python=python,
        port=port,
        configs=tuple(parse_config(text) for text in configs),
        resources=tuple(parse_resource(text) for text in resources),
        base_config=base_config,
        environment=parse_environment(variables),
        call=parse_call(call) if call is not None else None,
        keep=keep,
        insecure=insecure,
    )
    progress = console()
    found = resolve_targets(targets)
    for source in found.sources:
        if source.kind is SourceKind.PROJECT:
            offer(source.path, [server] if server is not None else [], insecure=insecure)
    options = with_provider_file(found, options, progress)
    if watch:
        require_watchable(found.sources, check=check)
    with Up(found.sources, options, progress) as up:
        if watch:
            _watch(up)
        failure = None
        try:
            up.run()
        except SdkError as error:
            failure = error
            raise
        finally:
            # a failure also reports its phases
            if current().is_json:
                _show_document(up, failure)
        if not current().is_json:
            show(up.result.text())
        if check and not up.result.calls:
            show(no_call(has_project=bool(up.projects)), err=True)
        if not check:
            _say_how(up)
            up.stay()


def no_call(*, has_project: bool) -> str:
    """Say that nothing was called, and how to name a call."""
    table = ", or with [tool.lls-provider.up.call] in pyproject.toml" if has_project else ""
    return (
        "No sample call is set, so nothing was called. "
        f"Name one with --call 'METHOD PATH [JSON]'{table}."
    )


def _show_document(up: Up, failure: SdkError | None) -> None:
    error = None if failure is None else failure.to_result()
    show_document(named("up/1", {**up.result.to_document(), "error": error}))


def _watch(up: Up) -> NoReturn:
    from lls_provider.local.watch import Watcher, keep_serving

    keep_serving(up, Watcher(up.projects), _Reporter(up))


class _Reporter:
    """Shows each run of --watch as a run without it, and the error of one that failed."""

    def __init__(self, up: Up) -> None:
        self._up = up
        self._has_served = False

    def served(self, seconds: float) -> None:
        if current().is_json:
            _show_document(self._up, None)
        else:
            show(self._up.result.text())
        if not self._has_served:
            _say_how(self._up)
            self._has_served = True
        server = sum(it.seconds for it in self._up.result.phases if it.name == "server")
        show(f"Served after {seconds:.1f} s, {server:.1f} s of them the server's start.", err=True)
        show("Waiting for a change of the source.", err=True)

    def failed(self, error: SdkError) -> None:
        if current().is_json:
            _show_document(self._up, error)
        show(error.render(), err=True)
        state = "goes on" if self._up.url else "is stopped"
        show(f"The server {state}. Waiting for a change of the source.", err=True)


def _say_how(up: Up) -> None:
    """Show the server's URL, its log and an example call."""
    show(f"\n{up.result.server} stays up at {up.url} until Ctrl-C.", err=True)
    show(f"Its log: {up.log}", err=True)
    show(f"Call it: {_curl(up)}", err=True)


def _curl(up: Up) -> str:
    call = up.last_call
    if call is None:
        return shlex.join(["curl", f"{up.url}/v1/providers"])
    arguments = ["curl", "-X", call.method, f"{up.url}{call.path}"]
    for name, value in call.form.items():
        arguments += ["-F", f"{name}={value}"]
    for name, path in call.files.items():
        arguments += ["-F", f"{name}=@{path}"]
    if call.body is not None:
        arguments += ["-H", "Content-Type: application/json", "-d", json.dumps(call.body)]
    return shlex.join(arguments)
