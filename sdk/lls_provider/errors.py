"""The one error type of the project, its codes and the table of exit statuses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from typing import Any

from lls_provider.untrusted import bounded, escaped, one_line


class ExitStatus(IntEnum):
    """What a command's exit status means (one table for every command)."""

    OK = 0
    WRONG = 1  # the thing checked, built or installed is wrong
    USAGE = 2  # the command line is wrong
    ENVIRONMENT = 3  # something is missing on this machine: network, Python, disk, port
    INTERRUPTED = 130
    TERMINATED = 143


class Code(Enum):
    """Every kind of failure: a stable slug and the exit status it leads to."""

    # documents (contract)
    YAML_INVALID = ("yaml-invalid", ExitStatus.WRONG)
    YAML_LIMIT = ("yaml-limit", ExitStatus.WRONG)
    DUPLICATE_KEY = ("duplicate-key", ExitStatus.WRONG)
    FILE_MISSING = ("file-missing", ExitStatus.WRONG)
    FILE_UNREADABLE = ("file-unreadable", ExitStatus.WRONG)
    FIELD_MISSING = ("field-missing", ExitStatus.WRONG)
    FIELD_UNKNOWN = ("field-unknown", ExitStatus.WRONG)
    FIELD_TYPE = ("field-type", ExitStatus.WRONG)
    FIELD_VALUE = ("field-value", ExitStatus.WRONG)
    DOCUMENT_INVALID = ("document-invalid", ExitStatus.WRONG)
    # runtime
    METADATA_MISSING = ("metadata-missing", ExitStatus.WRONG)
    API_MISMATCH = ("api-mismatch", ExitStatus.WRONG)
    PROVIDER_DUPLICATE = ("provider-duplicate", ExitStatus.WRONG)
    DEPENDENCY_CONFLICT = ("dependency-conflict", ExitStatus.WRONG)
    WHEEL_INVALID = ("wheel-invalid", ExitStatus.WRONG)
    WHEEL_NAME_INVALID = ("wheel-name-invalid", ExitStatus.WRONG)
    WHEEL_NOT_FILE = ("wheel-not-file", ExitStatus.WRONG)
    WHEEL_NOT_ZIP = ("wheel-not-zip", ExitStatus.WRONG)
    WHEEL_TRUNCATED = ("wheel-truncated", ExitStatus.WRONG)
    WHEEL_ARCHIVE_INVALID = ("wheel-archive-invalid", ExitStatus.WRONG)
    WHEEL_HEADER_MISMATCH = ("wheel-header-mismatch", ExitStatus.WRONG)
    WHEEL_OVERLAP = ("wheel-overlap", ExitStatus.WRONG)
    WHEEL_ENCRYPTED = ("wheel-encrypted", ExitStatus.WRONG)
    WHEEL_COMPRESSION = ("wheel-compression", ExitStatus.WRONG)
    WHEEL_DATA_DAMAGED = ("wheel-data-damaged", ExitStatus.WRONG)
    WHEEL_PATH_UNSAFE = ("wheel-path-unsafe", ExitStatus.WRONG)
    WHEEL_PATH_CONFLICT = ("wheel-path-conflict", ExitStatus.WRONG)
    WHEEL_ENTRY_TYPE = ("wheel-entry-type", ExitStatus.WRONG)
    WHEEL_DUPLICATE_ENTRY = ("wheel-duplicate-entry", ExitStatus.WRONG)
    WHEEL_CASE_COLLISION = ("wheel-case-collision", ExitStatus.WRONG)
    WHEEL_SIZE_MISMATCH = ("wheel-size-mismatch", ExitStatus.WRONG)
    WHEEL_HASH_MISMATCH = ("wheel-hash-mismatch", ExitStatus.WRONG)
    WHEEL_HASH_WEAK = ("wheel-hash-weak", ExitStatus.WRONG)
    WHEEL_RECORD_MISSING = ("wheel-record-missing", ExitStatus.WRONG)
    WHEEL_RECORD_INVALID = ("wheel-record-invalid", ExitStatus.WRONG)
    WHEEL_RECORD_INCOMPLETE = ("wheel-record-incomplete", ExitStatus.WRONG)
    WHEEL_FILE_MISSING = ("wheel-file-missing", ExitStatus.WRONG)
    WHEEL_LIMIT = ("wheel-limit", ExitStatus.WRONG)
    WHEEL_DIST_INFO_INVALID = ("wheel-dist-info-invalid", ExitStatus.WRONG)
    WHEEL_METADATA_INVALID = ("wheel-metadata-invalid", ExitStatus.WRONG)
    WHEEL_VERSION_UNSUPPORTED = ("wheel-version-unsupported", ExitStatus.WRONG)
    WHEEL_NAME_MISMATCH = ("wheel-name-mismatch", ExitStatus.WRONG)
    WHEEL_ENTRY_POINT_INVALID = ("wheel-entry-point-invalid", ExitStatus.WRONG)
    WHEEL_DATA_INVALID = ("wheel-data-invalid", ExitStatus.WRONG)
    WHEEL_INCOMPATIBLE = ("wheel-incompatible", ExitStatus.WRONG)
    MODULE_HIDDEN = ("module-hidden", ExitStatus.WRONG)
    VALIDATION_FAILED = ("validation-failed", ExitStatus.WRONG)
    VOLUME_UNSAFE = ("volume-unsafe", ExitStatus.WRONG)
    VOLUME_UNWRITABLE = ("volume-unwritable", ExitStatus.ENVIRONMENT)
    NO_SPACE = ("no-space", ExitStatus.ENVIRONMENT)
    # author's side
    PROJECT_INVALID = ("project-invalid", ExitStatus.WRONG)
    SETTINGS_INVALID = ("settings-invalid", ExitStatus.WRONG)
    MODULE_MISSING = ("module-missing", ExitStatus.WRONG)
    TARGET_EXISTS = ("target-exists", ExitStatus.WRONG)
    PROJECT_UNCOMMITTED = ("project-uncommitted", ExitStatus.WRONG)
    TEMPLATE_UNKNOWN = ("template-unknown", ExitStatus.WRONG)
    UPDATE_CONFLICT = ("update-conflict", ExitStatus.WRONG)
    WHEEL_BUILD_FAILED = ("wheel-build-failed", ExitStatus.WRONG)
    DISTRIBUTION_INVALID = ("distribution-invalid", ExitStatus.WRONG)
    RESOLUTION_FAILED = ("resolution-failed", ExitStatus.WRONG)
    LOCK_INVALID = ("lock-invalid", ExitStatus.WRONG)
    LOCK_STALE = ("lock-stale", ExitStatus.WRONG)
    LOCK_UNPORTABLE = ("lock-unportable", ExitStatus.WRONG)
    HASH_MISMATCH = ("hash-mismatch", ExitStatus.WRONG)
    IMAGE_INVALID = ("image-invalid", ExitStatus.WRONG)
    BUNDLE_INVALID = ("bundle-invalid", ExitStatus.WRONG)
    TESTS_FAILED = ("tests-failed", ExitStatus.WRONG)
    SERVER_FAILED = ("server-failed", ExitStatus.WRONG)
    SERVICE_FAILED = ("service-failed", ExitStatus.WRONG)
    CALL_FAILED = ("call-failed", ExitStatus.WRONG)
    OUTPUT_UNWRITABLE = ("output-unwritable", ExitStatus.ENVIRONMENT)
    CACHE_UNWRITABLE = ("cache-unwritable", ExitStatus.ENVIRONMENT)
    CACHE_IN_USE = ("cache-in-use", ExitStatus.ENVIRONMENT)
    NETWORK = ("network", ExitStatus.ENVIRONMENT)
    IMAGE_MISSING = ("image-missing", ExitStatus.WRONG)
    REGISTRY_DENIED = ("registry-denied", ExitStatus.ENVIRONMENT)
    REGISTRY_FAILED = ("registry-failed", ExitStatus.ENVIRONMENT)
    DAEMON_FAILED = ("daemon-failed", ExitStatus.ENVIRONMENT)
    CREDENTIALS_INVALID = ("credentials-invalid", ExitStatus.ENVIRONMENT)
    PYTHON_MISSING = ("python-missing", ExitStatus.ENVIRONMENT)
    TOOL_MISSING = ("tool-missing", ExitStatus.ENVIRONMENT)
    TOOL_FAILED = ("tool-failed", ExitStatus.WRONG)
    PROCESS_ENDED = ("process-ended", ExitStatus.ENVIRONMENT)
    POD_INVALID = ("pod-invalid", ExitStatus.WRONG)
    CLUSTER_FAILED = ("cluster-failed", ExitStatus.ENVIRONMENT)
    PORT_TAKEN = ("port-taken", ExitStatus.ENVIRONMENT)
    USAGE = ("usage", ExitStatus.USAGE)
    INTERNAL = ("internal", ExitStatus.WRONG)

    def __init__(self, slug: str, status: ExitStatus) -> None:
        self.slug = slug
        self.status = status


@dataclass(frozen=True, slots=True)
class Where:
    """The place that an error is about; every part is optional. Lines and columns count from 1."""

    file: str | None = None
    line: int | None = None
    column: int | None = None
    provider: str | None = None
    image: str | None = None

    @property
    def position(self) -> str:
        """``file:line:column``, as far as it is known."""
        parts = [self.file or ""]
        if self.line is not None:
            parts.append(str(self.line))
            if self.column is not None:
                parts.append(str(self.column))
        return ":".join(parts)


Step = str | int
"""One step of a path inside a document: a key of a mapping or an index of a list."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One complaint among several: what is wrong, where, and how to fix it."""

    code: Code
    what: str
    where: Where = Where()
    resolution: str = ""
    path: str = ""  # the place inside the document, such as ``spec.api``

    def line(self) -> str:
        """The complaint as one line: ``file:line:column: what``."""
        position = self.where.position
        return f"{position}: {self.what}" if position else self.what


class SdkError(Exception):
    """The error that every failure of this project raises.

    ``what`` is one sentence, ``why`` the cause (any number of lines), ``resolution`` a step
    the reader can take. ``problems`` holds the single complaints if there are several.
    ``layout`` is the whole message if the contract (section 6) fixes it to the letter.
    ``detail`` is data about the failure for callers that act on it; it is not shown. To reach
    another process it must be plain data, as in JSON.
    """

    def __init__(
        self,
        code: Code,
        what: str,
        *,
        resolution: str,
        why: str = "",
        where: Where = Where(),
        problems: Iterable[Problem] = (),
        layout: str | None = None,
        detail: object = None,
    ) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.resolution = resolution
        self.why = why
        self.where = where
        self.problems = tuple(problems)
        self.layout = layout
        self.detail = detail

    @property
    def status(self) -> ExitStatus:
        """The exit status of a command that ends with this error."""
        return self.code.status

    def located(self, *, provider: str | None = None, image: str | None = None) -> SdkError:
        """The same error, with its provider and image filled in if they were missing."""
        self.where = replace(
            self.where,
            provider=self.where.provider or provider,
            image=self.where.image or image,
        )
        return self

    def render(self) -> str:
        """The message as a user reads it, without a trailing newline.

        What it quotes is escaped, and shortened if it is long.
        """
        if self.layout is not None:
            return escaped(self.layout)
        paragraphs = [f"ERROR: {one_line(self.what)}"]
        place = [
            f"{label}: {one_line(value)}"
            for label, value in (
                ("Provider", self.where.provider),
                ("Image", self.where.image),
                ("File", self.where.position),
            )
            if value
        ]
        if place:
            paragraphs.append("\n".join(place))
        if self.why:
            paragraphs.append(bounded(self.why.rstrip("\n")))
        if self.problems:
            paragraphs.append(bounded("\n".join(_problem_lines(self.problems))))
        paragraphs.append(f"Resolution: {self.resolution}")
        return escaped("\n\n".join(paragraphs))

    def to_document(self) -> dict[str, object]:
        """The error as plain data, for ``--format json``."""
        return {
            "code": self.code.slug,
            "what": self.what,
            "why": self.why,
            "where": _where_document(self.where),
            "resolution": self.resolution,
            "problems": [
                {
                    "code": problem.code.slug,
                    "what": problem.what,
                    "where": _where_document(problem.where),
                    "path": problem.path,
                    "resolution": problem.resolution,
                }
                for problem in self.problems
            ],
        }

    def to_result(self) -> dict[str, object]:
        """`to_document` with the message that people read, as a command's JSON has it."""
        return {**self.to_document(), "message": self.render()}

    def to_json(self) -> str:
        """The whole error as one line of JSON, for another process; `from_json` reads it.

        A ``detail`` that is not plain data is left out.
        """
        import json  # an install with nothing to do starts without it

        document = {
            **self.to_document(),
            "exit_status": int(self.status),
            "layout": self.layout,
            "detail": self.detail,
        }
        try:
            return json.dumps(document, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            return json.dumps({**document, "detail": None})

    @classmethod
    def from_json(cls, text: str | bytes) -> SdkError:
        """The error that `to_json` wrote.

        The text is untrusted: raises ValueError for anything that is not such an error.
        Fields that are unknown here are ignored, since a later release may have written them.
        """
        import json

        try:
            document = _mapping(json.loads(text, parse_constant=_no_constant))
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        code = _code_of(document.get("code"))
        if document.get("exit_status") != int(code.status):
            raise ValueError("the exit status is not that of the code")
        problems = document.get("problems", [])
        if not isinstance(problems, list):
            raise ValueError("problems is not a list")  # noqa: TRY004
        return cls(
            code,
            _text_of(document, "what"),
            resolution=_text_of(document, "resolution"),
            why=_text_of(document, "why", ""),
            where=_where_of(document.get("where", {})),
            problems=[
                Problem(
                    _code_of(it.get("code")),
                    _text_of(it, "what"),
                    _where_of(it.get("where", {})),
                    _text_of(it, "resolution", ""),
                    _text_of(it, "path", ""),
                )
                for it in map(_mapping, problems)
            ],
            layout=_text_of(document, "layout") if document.get("layout") is not None else None,
            detail=document.get("detail"),
        )


def nearest_word(word: str, known: Iterable[str]) -> str | None:
    """The word in ``known`` that was probably meant; case, hyphens and underscores do not count."""
    import difflib  # most runs name nothing that is unknown

    plain: dict[str, str] = {}
    for name in known:
        plain.setdefault(_plain(name), name)
    near = difflib.get_close_matches(_plain(word), plain, 1, cutoff=0.7)
    return plain[near[0]] if near else None


def _plain(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("it is not an object")  # noqa: TRY004 - one error for all
    return value


def _text_of(document: dict[str, Any], key: str, default: str | None = None) -> str:
    value = document.get(key, default)
    if not isinstance(value, str):
        raise ValueError(f"{key} is not text")  # noqa: TRY004 - one error for all
    return value


def _code_of(slug: object) -> Code:
    for code in Code:
        if code.slug == slug:
            return code
    raise ValueError("its code is unknown")


def _where_of(value: Any) -> Where:
    document = _mapping(value)
    for key in ("line", "column"):
        number = document.get(key)
        if number is not None and (type(number) is not int or number < 1):
            raise ValueError(f"{key} is not a number from 1")
    texts = {
        key: _text_of(document, key) if document.get(key) is not None else None
        for key in ("file", "provider", "image")
    }
    return Where(line=document.get("line"), column=document.get("column"), **texts)


def _problem_lines(problems: Iterable[Problem]) -> Iterable[str]:
    for problem in problems:
        yield f"- {one_line(problem.line())}"
        if problem.resolution:
            yield f"  {problem.resolution}"


def _where_document(where: Where) -> dict[str, object]:
    found = {
        "file": where.file,
        "line": where.line,
        "column": where.column,
        "provider": where.provider,
        "image": where.image,
    }
    return {key: value for key, value in found.items() if value is not None}
