"""Diagnoses Pods: reads them from a file, from stdin or through kubectl, and explains each."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NoReturn

from lls_provider.deploy.pod import GET_POD, Pod, read_pods
from lls_provider.deploy.pod_status import Diagnosis, diagnose_pod, has_providers
from lls_provider.errors import Code, SdkError, Where
from lls_provider.runtime.process.signals import signals_deferred
from lls_provider.untrusted import bounded

STDIN = "-"
KUBECTL_SECONDS = 30.0
SIZE_LIMIT = 64 * 1024 * 1024
"""Bytes of JSON: a list of thousands of Pods."""

_POD_ARGUMENT = re.compile(r"(?:pod|pods|po)/(.*)", re.DOTALL)
# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
_POD_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def diagnose(
    target: str | os.PathLike[str],
    *,
    namespace: str | None = None,
    timeout: float = KUBECTL_SECONDS,
) -> Diagnosis:
    """Diagnose the Pods of ``target``: ``-`` (stdin), a file, or ``pod/NAME`` through kubectl.

    Of a list, the Pods that install providers are diagnosed. ``namespace`` and ``timeout``, in
    seconds, are for kubectl. A provider that failed is a status, not an exception. Raises SdkError
    USAGE, FILE_MISSING, FILE_UNREADABLE, POD_INVALID for what is not a Pod or has no provider,
    TOOL_MISSING or CLUSTER_FAILED.
    """
    text = os.fspath(target)
    if (named := _POD_ARGUMENT.fullmatch(text)) is not None:
        data = _from_kubectl(_checked(named[1], namespace), namespace, timeout)
        return diagnose_json(data, source=text)
    if namespace is not None:
        raise _usage(
            "A namespace belongs to pod/NAME: a file has the Pod's own",
            "Leave -n out, or name the Pod: lls-provider diagnose pod/NAME -n NAMESPACE.",
        )
    if text == STDIN and (sys.stdin is None or sys.stdin.isatty()):
        raise _usage("Nothing is piped into stdin", f"Run {GET_POD} | lls-provider diagnose -")
    source = "stdin" if text == STDIN else text
    try:
        if text == STDIN:
            data = _read(sys.stdin.buffer)
        else:
            with Path(text).open("rb") as file:
                data = _read(file)
    except FileNotFoundError as error:
        raise _unreadable(Code.FILE_MISSING, "There is no such file", "", source) from error
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        what = "The file cannot be read"
        raise _unreadable(Code.FILE_UNREADABLE, what, str(error), source) from error
    return diagnose_json(data, source=source)


def diagnose_json(data: bytes, *, source: str) -> Diagnosis:
    """Diagnose the Pods of JSON that ``kubectl get`` printed; ``source`` is named in errors.

    Raises SdkError POD_INVALID for everything else.
    """
    try:
        pods = read_pods(_parsed(data))
        return Diagnosis(tuple(diagnose_pod(pod) for pod in _with_providers(pods)))
    except SdkError as error:
        error.where = replace(error.where, file=source)
        raise


def _with_providers(pods: list[Pod]) -> list[Pod]:
    found = [pod for pod in pods if has_providers(pod)]
    if found:
        return found
    if not pods:
        what, why = "The list has no Pods", ""
    else:
        what = "No container of the Pod installs a provider"
        if len(pods) > 1:
            what = f"None of the {len(pods)} Pods has a container that installs a provider"
        names = [it.name for pod in pods for it in (*pod.init_containers, *pod.containers)]
        why = f"The containers are: {', '.join(names[:20])}" if names else ""
    raise SdkError(
        Code.POD_INVALID,
        what,
        why=why,
        resolution="Name the Pod of the server: its init containers are called "
        "install-provider-<providerId>, or its main container runs 'lls-provider.pyz install'.",
    )


def _parsed(data: bytes) -> object:
    if not data.strip():
        _refuse("There is no JSON to read", "The input is empty.", Where())
    try:
        return json.loads(data, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = Where(line=error.lineno, column=error.colno)
        if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string"):
            _refuse("The JSON ends too early", error.msg, where)
        _refuse("This is not JSON", error.msg, where)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        _refuse("This is not JSON", why, Where())


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse(what: str, why: str, where: Where) -> NoReturn:
    raise SdkError(
        Code.POD_INVALID,
        what,
        why=why,
        where=where,
        resolution=f"Give all of what '{GET_POD}' prints; when that printed an error, correct it "
        "first.",
    )


def _read(file: BinaryIO) -> bytes:
    data = file.read(SIZE_LIMIT + 1)
    if len(data) > SIZE_LIMIT:
        raise SdkError(
            Code.POD_INVALID,
            f"The input has more than {SIZE_LIMIT // (1024 * 1024)} MiB",
            resolution=f"Give one Pod: {GET_POD}.",
        )
    return data


def _checked(name: str, namespace: str | None) -> str:
    """The name of a Pod, when it and the namespace can be names of Kubernetes."""
    if not _POD_NAME.fullmatch(name):
        raise _usage(f"'{name}' cannot be the name of a Pod", "Name it as 'kubectl get pods' does.")
    if namespace is not None and not _NAMESPACE.fullmatch(namespace):
        raise _usage(
            f"'{namespace}' cannot be the name of a namespace",
            "Name it as 'kubectl get namespaces' does.",
        )
    return name


def _from_kubectl(name: str, namespace: str | None, timeout: float) -> bytes:
    command = ["kubectl", "get", "pod", name, "--output=json"]
    if namespace is not None:
        command.append(f"--namespace={namespace}")
    with contextlib.ExitStack() as ending:
        with signals_deferred():  # no signal comes between its start and the promise to end it
            process = _started(command)
            ending.callback(_end, process)
        try:
            out, said = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            what = f"kubectl did not answer within {timeout:g} s"
            raise _cluster_failed(what, "", command) from error
    if process.returncode:
        what = f"kubectl failed with exit status {process.returncode}"
        raise _cluster_failed(what, said.decode(errors="replace").strip(), command)
    return out


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # plugins that log in are its children, and end with it
            start_new_session=True,
        )
    except OSError as error:
        raise SdkError(
            Code.TOOL_MISSING,
            "kubectl cannot be started",
            why=str(error),
            resolution="Install kubectl, or run it where it is and pipe what it prints: "
            f"{GET_POD} | lls-provider diagnose -",
        ) from error


def _end(process: subprocess.Popen[bytes]) -> None:
    """End kubectl, and what it started, if it has not ended itself."""
    with process:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _cluster_failed(what: str, why: str, command: list[str]) -> SdkError:
    return SdkError(
        Code.CLUSTER_FAILED,
        what,
        why=bounded(why, lines=20),
        resolution=f"Make this command work, then run it again: {' '.join(command)}",
    )


def _unreadable(code: Code, what: str, why: str, source: str) -> SdkError:
    return SdkError(
        code,
        what,
        why=why,
        where=Where(file=source),
        resolution=f"Name a file with what '{GET_POD}' prints, or pod/NAME.",
    )


def _usage(what: str, resolution: str) -> SdkError:
    return SdkError(Code.USAGE, what, resolution=resolution)
