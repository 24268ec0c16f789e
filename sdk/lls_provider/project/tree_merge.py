"""The three-way merge of two directories into a committed project, with git.

git decides as in any merge: renames, deleted files, modes and binary files included. The merge is
made of trees in a repository of ours that only borrows the project's objects, so neither the
project's files nor the user's settings take part. Only `CommittedProject.apply` writes to the
project, and puts back what it wrote if it fails.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lls_provider.errors import Code, SdkError, Where
from lls_provider.system.files import wrapping_write_errors, write_atomically
from lls_provider.system.git import UNSET, git, require_git

_LOWEST = (2, 38)
_WHY = "`git merge-tree --write-tree`, which merges without touching a file"
_YOURS = "yours"  # the label of the project's side in conflict markers
_SETTINGS = (
    *("-c", "merge.conflictStyle=diff3"),
    *("-c", "merge.renames=true"),
    *("-c", "merge.directoryRenames=conflict"),
    *("-c", "core.quotePath=false"),
)
# the commits are only for this merge; equal input makes equal ones
_IDENTITY = {
    f"GIT_{who}_{what}": text
    for who in ("AUTHOR", "COMMITTER")
    for what, text in (("NAME", "lls-provider"), ("EMAIL", "none"), ("DATE", "@0 +0000"))
}
_ABSENT = "000000"  # the mode of a side that does not have the file
_SHOWN = 10  # files that an error lists


def require_mergeable() -> str:
    """Return git's version, if it merges trees. Raises what `require_git` does."""
    return require_git(_LOWEST, _WHY)


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file that a merge changes: ``added``, ``changed`` or ``deleted``."""

    path: str  # relative to the project
    kind: str
    entry: str  # as `git update-index --index-info` takes it, without the path


@dataclass(frozen=True, slots=True)
class MergeConflict:
    """One file that git could not merge, and what it says of it."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class TreeMerge:
    """The result of a merge: its changes to the project, its conflicts, and a unified diff."""

    changes: tuple[FileChange, ...] = ()
    conflicts: tuple[MergeConflict, ...] = ()
    diff: str = ""
    stages: bytes = b""  # the unmerged entries of the index, relative to the project

    @property
    def files(self) -> Mapping[str, str]:
        """The kind of each change by path: ``conflict`` for a file that git could not merge."""
        found = {change.path: change.kind for change in self.changes}
        return dict(sorted({**found, **{it.path: "conflict" for it in self.conflicts}}.items()))


@dataclass(frozen=True, slots=True)
class CommittedProject:
    """A project without uncommitted changes, in its git repository."""

    directory: Path
    prefix: str  # of the directory in the repository, with a slash at its end; or empty
    objects: Path
    index: Path
    object_format: str
    tree: str

    @classmethod
    def of(cls, directory: Path) -> CommittedProject:
        """Find the repository of a project.

        Raises SdkError PROJECT_UNCOMMITTED if it is in none or has uncommitted changes, and what
        `git` and `require_git` raise.
        """
        require_mergeable()

        def told(*arguments: str) -> str:
            shown = git("rev-parse", *arguments, directory=directory, doing="reading the project")
            return os.fsdecode(shown.removesuffix(b"\n"))

        try:
            prefix = told("--show-prefix")
        except SdkError as error:
            if "not a git repository" not in error.why:
                raise
            raise _uncommitted(
                directory, "is not in a git repository", "", "init && git "
            ) from None
        status = ("status", "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--", ".")
        changed = git(*status, directory=directory, doing="looking for uncommitted changes")
        if changed:
            files = os.fsdecode(changed).rstrip("\0").split("\0")
            more = [f"and {len(files) - _SHOWN} more"] if len(files) > _SHOWN else []
            raise _uncommitted(
                directory, "has uncommitted changes", "\n".join([*files[:_SHOWN], *more])
            )
        try:
            tree = told("--verify", "--quiet", "--end-of-options", f"HEAD:{prefix}")
        except SdkError:
            raise _uncommitted(
                directory, "is not committed", "Its repository ignores it."
            ) from None
        return cls(
            directory,
            prefix,
            Path(told("--path-format=absolute", "--git-path", "objects")),
            Path(told("--path-format=absolute", "--git-path", "index")),
            told("--show-object-format"),
            tree,
        )

    def merge(
        self, base: Path, theirs: Path, label: str, temporary: Path, *, dry: bool
    ) -> TreeMerge:
        """Merge what changed between two directories into the project, without changing it.

        ``label`` names the second one in conflict markers; ``temporary`` is an empty directory.
        A ``dry`` merge adds no object to the project's repository either. Raises what `git` raises.
        """
        repository = _Repository(temporary / "merge.git", self, dry=dry)
        trees = (self.tree, repository.tree(base), repository.tree(theirs))
        ours, ancestor, other = trees
        commit = repository.commit(ancestor)
        repository.branch(_YOURS, repository.commit(ours, commit))
        repository.branch(label, repository.commit(other, commit))
        merged, stages, conflicts = _parsed(
            repository.run("merge-tree", "--write-tree", "-z", _YOURS, label, accepted=(0, 1))
        )
        listed = repository.run(
            *("diff-tree", "-r", "--raw", "-z", "--no-renames", "--no-abbrev", ours, merged)
        )
        shown = repository.run(
            *("diff", "--no-color", "--no-ext-diff", "--no-textconv", "--find-renames"),
            *(ours, merged),
        )
        return TreeMerge(
            tuple(_changes(listed)),
            tuple(conflicts),
            shown.decode(errors="surrogateescape"),
            stages,
        )

    def require_free(self, merge: TreeMerge) -> None:
        """Refuse a merge that would write over files that git ignores.

        Raises SdkError PROJECT_UNCOMMITTED.
        """
        listed = self._run("ls-files", "-z").split(b"\0")
        tracked = {os.fsdecode(path) for path in listed}
        there = [
            change.path
            for change in merge.changes
            if change.kind == "added" and _obstacle(self.directory, change.path, tracked)
        ]
        if there:
            raise SdkError(
                Code.PROJECT_UNCOMMITTED,
                f"The update would write over files of {self.directory} that git ignores",
                why="\n".join(there[:_SHOWN]),
                where=Where(file=str(self.directory / there[0])),
                resolution="Move them away, or commit them (git add --force), and update again.",
            )

    def apply(self, merge: TreeMerge, temporary: Path) -> None:
        """Write a merge to the project's files and its index, as `git merge --no-commit` does.

        If it fails, the files and the index are what they were. Raises what `git` raises.
        """
        entries = b"".join(self._entry(change) for change in merge.changes)
        index = {"GIT_INDEX_FILE": str(temporary / "index")}
        self._run("read-tree", "HEAD", environment=index)
        self._run("update-index", "-z", "--index-info", stdin=entries, environment=index)
        whole = self._run("write-tree", environment=index).decode().strip()
        with self._restoring(merge.changes):
            self._run("read-tree", "-m", "-u", "HEAD", whole)
            self._run("update-index", "-z", "--index-info", stdin=self._unmerged(merge))

    def _entry(self, change: FileChange) -> bytes:
        return os.fsencode(f"{change.entry}\t{self.prefix}{change.path}\0")

    def _unmerged(self, merge: TreeMerge) -> bytes:
        """Return the input that replaces the entry of each unmerged file by its stages."""
        prefix = os.fsencode(self.prefix)
        lines = [line.split(b"\t", 1) for line in merge.stages.split(b"\0") if line]
        none = f"0 {'0' * len(self.tree)}\t".encode()
        removed = b"".join(none + prefix + path + b"\0" for path in {path for _, path in lines})
        return removed + b"".join(info + b"\t" + prefix + path + b"\0" for info, path in lines)

    @contextlib.contextmanager
    def _restoring(self, changes: Sequence[FileChange]) -> Iterator[None]:
        """Put files and index back if the block fails; not with git, which may be what fails."""
        paths = [self.directory / change.path for change in changes]
        before = {path: _content(path) for path in (self.index, *paths)}
        made = {above for path in paths for above in path.parents if not above.is_dir()}
        try:
            yield
        except BaseException:
            with wrapping_write_errors(self.directory, "what the update had changed"):
                for path in (path for path, content in before.items() if content is None):
                    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                        path.unlink()
                for directory in sorted(made, reverse=True):
                    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                        directory.rmdir()
                for path, content in before.items():
                    _put_back(path, content)
            raise

    def _run(
        self, *arguments: str, environment: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> bytes:
        return git(
            *("-c", f"core.hooksPath={os.devnull}"),
            *arguments,
            directory=self.directory,
            doing="writing the update; the project is as it was",
            environment=environment,
            stdin=stdin,
        )


class _Repository:
    """A bare repository that has the project's objects, with settings of ours alone."""

    def __init__(self, path: Path, project: CommittedProject, *, dry: bool) -> None:
        self._path = path
        path.mkdir()
        place = "GIT_ALTERNATE_OBJECT_DIRECTORIES" if dry else "GIT_OBJECT_DIRECTORY"
        self._environment = {**UNSET, **_IDENTITY, "GIT_DIR": str(path)}
        self.run("init", "--quiet", "--bare", f"--object-format={project.object_format}")
        self._environment[place] = str(project.objects)

    def run(
        self, *arguments: str, accepted: Sequence[int] = (0,), environment: Mapping[str, str] = {}
    ) -> bytes:
        return git(
            *_SETTINGS,
            *arguments,
            directory=self._path,
            doing="merging the template",
            environment={**self._environment, **environment},
            accepted=accepted,
        )

    def tree(self, directory: Path) -> str:
        """Return the tree of a directory's files."""
        work = {
            "GIT_WORK_TREE": str(directory),
            "GIT_INDEX_FILE": str(self._path / "index"),
        }
        self.run("read-tree", "--empty", environment=work)
        self.run("-c", "core.bare=false", "add", "--all", "--force", ":/", environment=work)
        return self.run("write-tree", environment=work).decode().strip()

    def commit(self, tree: str, *parents: str) -> str:
        words = [word for parent in parents for word in ("-p", parent)]
        return self.run("commit-tree", tree, *words, "-m", "template").decode().strip()

    def branch(self, name: str, commit: str) -> None:
        self.run("update-ref", f"refs/heads/{name}", commit)


def _parsed(output: bytes) -> tuple[str, bytes, list[MergeConflict]]:
    """Return the merged tree, the unmerged entries, and what git says of each of their files.

    The form is that of `git merge-tree --write-tree -z`.
    """
    fields = output.split(b"\0")
    tree, at = fields[0].decode(), 1
    while at < len(fields) and fields[at]:
        at += 1
    entries, rest = fields[1:at], iter(fields[at + 1 :])
    messages: dict[str, str] = {}
    for number in rest:
        if not number:
            break
        paths = [os.fsdecode(next(rest)) for _ in range(int(number))]
        kind, message = next(rest), next(rest).decode(errors="replace").strip()
        if not kind.startswith(b"Auto"):
            for path in paths:
                messages.setdefault(path, message)
    unmerged = sorted({os.fsdecode(entry.split(b"\t", 1)[1]) for entry in entries})
    conflicts = [MergeConflict(path, messages.get(path, "")) for path in unmerged]
    return tree, b"\0".join(entries), conflicts


def _changes(listed: bytes) -> Iterator[FileChange]:
    """Yield the changes that `git diff-tree --raw -z` lists, deleted files first."""
    fields = listed.split(b"\0")
    found = []
    for head, path in zip(fields[::2], fields[1::2], strict=False):
        old, new, _, oid, _ = head.decode().lstrip(":").split(" ")
        kind = "added" if old == _ABSENT else "deleted" if new == _ABSENT else "changed"
        entry = f"0 {oid}" if kind == "deleted" else f"{new} {oid}"
        found.append(FileChange(os.fsdecode(path), kind, entry))
    yield from sorted(found, key=lambda it: (it.kind != "deleted", it.path))


def _content(path: Path) -> tuple[int, bytes] | None:
    """Return the mode and the bytes of a file, or where a link leads; None if there is neither."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return mode, os.fsencode(path.readlink())
        return (mode, path.read_bytes()) if stat.S_ISREG(mode) else None
    except (FileNotFoundError, NotADirectoryError):
        return None


def _put_back(path: Path, content: tuple[int, bytes] | None) -> None:
    if content is None or content == _content(path):
        return
    mode, data = content
    path.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISLNK(mode):
        path.unlink(missing_ok=True)
        path.symlink_to(os.fsdecode(data))
    else:
        write_atomically(path, data, mode=stat.S_IMODE(mode))


def _obstacle(directory: Path, path: str, tracked: Collection[str]) -> bool:
    """Whether a file that git does not know is where ``path`` is to be added, or in its way."""
    place = directory / path
    if os.path.lexists(place) and (place.is_symlink() or not place.is_dir()):
        return True
    above = (it for it in Path(path).parents if it != Path())
    return any(
        (directory / it).is_symlink() or (directory / it).is_file()
        for it in above
        if str(it) not in tracked
    )


def _uncommitted(directory: Path, what: str, why: str, first: str = "") -> SdkError:
    return SdkError(
        Code.PROJECT_UNCOMMITTED,
        f"{directory} {what}",
        why=why or "An update is merged with git, so that it can be looked at and undone.",
        where=Where(file=str(directory)),
        resolution=f"Commit the project (git {first}add --all && git commit), or put changes aside "
        "(git stash --include-untracked), and update again.",
    )
