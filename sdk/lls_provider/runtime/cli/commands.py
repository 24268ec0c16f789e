"""Carries out a parsed command line: values in, exit status out, every error shown once.

Results go to stdout; steps, notes and warnings to stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from lls_provider import __version__
from lls_provider.errors import Code, ExitStatus, SdkError, Where
from lls_provider.progress import Silent, counted
from lls_provider.runtime.messages import ERROR_FILE, write_error_file, write_termination_log
from lls_provider.runtime.process.signals import StoppedBySignal, stop_signals
from lls_provider.untrusted import CHARACTERS_LIMIT, escaped, one_line


class Console(Silent):
    """The progress of the runtime's own command line: plain lines for a container's log.

    A step or a note is one line, whatever it quotes. ``form`` is that of the result, text or json.
    """

    def __init__(
        self, *, form: str = "text", is_quiet: bool = False, is_verbose: bool = False
    ) -> None:
        self.is_json = form == "json"
        self.is_quiet = is_quiet
        self.is_verbose = is_verbose
        self.results = 0  # written so far
        self._began = time.monotonic()

    @classmethod
    def of(cls, options: argparse.Namespace) -> Console:
        """The console that --format, --quiet and --verbose ask for."""
        return cls(form=options.form, is_quiet=options.quiet, is_verbose=options.verbose)

    def step(self, text: str, /) -> None:
        """A phase starts."""
        self._progress(f"lls-provider: {one_line(text, CHARACTERS_LIMIT)}")

    def note(self, text: str, /) -> None:
        """A detail."""
        self._progress(f"lls-provider: note: {one_line(text, CHARACTERS_LIMIT)}")

    def _progress(self, line: str) -> None:
        if self.is_quiet:
            return
        before = f"[{time.monotonic() - self._began:6.2f} s] " if self.is_verbose else ""
        self.error(before + line)

    def warn(self, text: str, /) -> None:
        """A warning; layouts that begin with WARNING are shown unchanged."""
        self.error(text if text.startswith("WARNING: ") else f"WARNING: {text}")

    def error(self, text: str) -> None:
        """Write one or more lines to stderr."""
        self._write(sys.stderr, text)

    def result(self, schema: str, document: Mapping[str, object], text: str) -> None:
        """Write the result to stdout: ``text``, or ``document`` as JSON that names its schema."""
        self.results += 1
        if self.is_json:
            import json

            text = json.dumps({"schema": f"lls-provider/{schema}", **document})
        self._write(sys.stdout, text)

    @staticmethod
    def _write(stream: TextIO | None, text: str) -> None:
        # a log that is closed or cannot hold a character must not end the work
        if stream is None:
            return
        with contextlib.suppress(OSError, ValueError):
            encoding = stream.encoding or "utf-8"
            stream.write(escaped(text).encode(encoding, "backslashreplace").decode(encoding) + "\n")
            stream.flush()


_KINDS: tuple[tuple[type, str], ...] = (
    (str, "text"),
    (list, "a list"),
    (set, "a set"),
    (bytes, "binary data"),
    (bool, "true or false"),
    (int, "a number"),
    (float, "a number"),
)
_QUOTED = re.compile(r"'([^']{4,})'")


def run(options: argparse.Namespace) -> int:
    """Run the command; an error goes to stderr and the termination log."""
    console = Console.of(options)
    try:
        with stop_signals():
            return int(_COMMANDS[options.command](options, console))
    except StoppedBySignal as stop:
        console.error(f"lls-provider: stopped before '{options.command}' was done")
        return int(stop.status)
    except SdkError as error:
        return _show(error, options.termination_log, console)
    except Exception as error:  # noqa: BLE001 - no traceback of ours reaches a user
        return _show(_internal(error, options.command), options.termination_log, console)


def bad_usage(
    parser: argparse.ArgumentParser,
    message: str,
    log: str,
    *,
    meant: Iterable[str] = (),
    form: str = "text",
) -> int:
    """Report wrong arguments, on stderr and in the termination log ``log``.

    ``meant`` are sentences about what was probably meant; ``form`` is that of the result.
    """
    error = SdkError(
        Code.USAGE,
        f"'{parser.prog}' cannot be run like this",
        why="\n".join([message, *meant]),
        resolution="Correct the arguments of the container, or the variables that replace them; "
        f"'{parser.prog} --help' lists both.",
    )
    console = Console(form=form)
    console.error(parser.format_usage())
    return _show(error, log, console)


def read_config(text: bytes, source: str) -> dict[str, Any]:
    """A provider's configuration as JSON, or YAML by the contract's rules.

    Raises SdkError with file, line and column: what `document.load` raises, or FIELD_TYPE when
    it is not a mapping. No value is quoted: it may be a password, and errors are shown in the Pod's
    status.
    """
    from lls_provider.contract import document, plain_data
    from lls_provider.contract.limits import document_limits

    value: Any
    try:
        # to the YAML reader NaN would be text
        value = plain_data.parse_json(text, document_limits(), constants=True)
    except ValueError:
        try:
            value = document.load(text, source).value
        except SdkError as error:
            raise _without_values(error, text) from None
    if isinstance(value, dict):
        return value
    raise SdkError(
        Code.FIELD_TYPE,
        "The provider's configuration is not a mapping",
        why=f"it is {next((noun for kind, noun in _KINDS if isinstance(value, kind)), 'nothing')}",
        where=Where(file=source, line=1, column=1),
        resolution='Give a mapping, such as {"url": "http://localhost:8000"}.',
    )


def _without_values(error: SdkError, text: bytes) -> SdkError:
    """The same error without what it quotes from the configuration."""
    if error.code is Code.DUPLICATE_KEY:
        return error
    document = text.decode("utf-8", "replace")
    hidden = [
        _QUOTED.sub(lambda it: "'…'" if it[1] in document else it[0], text_part)
        for text_part in (error.what, error.why)
    ]
    return SdkError(
        error.code, hidden[0], why=hidden[1], where=error.where, resolution=error.resolution
    )


@contextlib.contextmanager
def fixed_umask() -> Iterator[None]:
    """Make modes independent of who runs the container: its group may write to directories."""
    before = os.umask(0o002)
    try:
        yield
    finally:
        os.umask(before)


def _install(options: argparse.Namespace, console: Console) -> ExitStatus:
    from lls_provider.runtime.process.workers import prefetching

    with prefetching(Path(options.source)) as ahead:  # while this process imports the rest
        import dataclasses

        from lls_provider.runtime.install.install import InstallRequest, check_request, install

        request = InstallRequest(
            provider_id=options.provider_id,
            api=options.api,
            image=options.image,
            container=options.container,
            source=Path(options.source),
            root=Path(options.root),
            order=options.order,
            python_tag=options.python_tag,
            arguments=options.fingerprint,
            config=None,
        )
        check_request(request)  # before its configuration is read
        request = dataclasses.replace(request, config=_config(options))
        with fixed_umask():
            record = install(request, console, ahead=ahead).record
    console.result(
        "install/1",
        {
            "provider_id": record.provider_id,
            "up_to_date": False,
            "order": record.order,
            "packages": [{"name": it.name, "version": it.version} for it in record.packages],
        },
        f"Installed provider '{record.provider_id}' (order {record.order}): "
        f"{counted(len(record.packages), 'package')}",
    )
    return ExitStatus.OK


def _config(options: argparse.Namespace) -> dict[str, Any] | None:
    from lls_provider.contract import document

    if options.config_file is not None:
        path = Path(options.config_file)
        return read_config(document.read_bytes(path, str(path)), str(path))
    if options.config is not None:
        return read_config(options.config.encode("utf-8", "surrogateescape"), "--config")
    return None


def _extract(options: argparse.Namespace, console: Console) -> ExitStatus:
    from lls_provider.runtime.extract import extract

    source = extract(Path(options.root), given=options.config_path)
    text = f"Copied the distribution's configuration from {source}"
    console.result("extract/1", {"source": str(source)}, text)
    return ExitStatus.OK


def _install_all(options: argparse.Namespace, console: Console) -> ExitStatus:  # noqa: ARG001
    from lls_provider.runtime.start import install_commands, parse_providers, run_all

    lines = install_commands(parse_providers(options.providers), options.root)
    return ExitStatus(run_all(lines, _alike(options)))


def _start(options: argparse.Namespace, console: Console) -> ExitStatus:  # noqa: ARG001
    from lls_provider.runtime.start import StartRequest, parse_providers, start

    request = StartRequest(
        parse_providers(options.providers),
        options.root,
        options.base,
        options.merged,
        options.server,
    )
    return ExitStatus(start(request, _alike(options)))


def _alike(options: argparse.Namespace) -> Callable[[Sequence[str]], int]:
    """What runs another command so that it writes as this one does."""
    return lambda arguments: options.run([*arguments, *output_arguments(options)])


def output_arguments(options: argparse.Namespace) -> list[str]:
    """The arguments that have another command write as this one does."""
    flags = ["--quiet"] * options.quiet + ["--verbose"] * options.verbose
    return ["--format", options.form, *flags]


def _merge(options: argparse.Namespace, console: Console) -> ExitStatus:
    from lls_provider.contract.names import VolumeTree
    from lls_provider.runtime.merge import merge

    root = Path(options.root)
    base = Path(options.base) if options.base is not None else VolumeTree(root).base_config
    result = merge(root, base=base, output_name=options.output_name, progress=console)
    merged = counted(len(result.providers), "external provider")
    document = {"path": str(result.path), "providers": list(result.providers)}
    console.result("merge/1", document, f"Merged {merged} into {result.path}")
    return ExitStatus.OK


def _preflight(options: argparse.Namespace, console: Console) -> ExitStatus:
    from lls_provider.runtime.preflight.preflight import preflight

    preflight(
        Path(options.run_yaml),
        root=Path(options.root),
        timeout=options.timeout,
        keep_bytecode=options.keep_bytecode,
        progress=console,
    )
    console.result("preflight/1", {"ok": True}, "All providers validated successfully")
    return ExitStatus.OK


_COMMANDS = {
    "install": _install,
    "install-all": _install_all,
    "extract": _extract,
    "merge": _merge,
    "preflight": _preflight,
    "start": _start,
}


def _show(error: SdkError, log: str, console: Console) -> int:
    message = error.render()
    console.error(message)
    write_termination_log(message + "\n", log)
    if path := os.environ.get(ERROR_FILE):
        write_error_file(error, path)
    if console.is_json and not console.results:
        document = {"exit_status": int(error.status), "error": error.to_result()}
        console.result("error/1", document, "")
    return int(error.status)


def _internal(error: Exception, command: str) -> SdkError:
    """An unexpected error, with what a maintainer needs to locate it."""
    import traceback

    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = f" at {Path(last[0].filename).name}:{last[0].lineno}" if last else ""
    return SdkError(
        Code.INTERNAL,
        f"'{command}' failed with an unexpected error",
        why=f"{type(error).__name__}: {error} (lls-provider {__version__}{place})",
        resolution="Report this as a fault of lls-provider, with this message and the command.",
    )
