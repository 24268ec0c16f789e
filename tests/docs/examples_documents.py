"""Examples of errors in documents: provider files that break one rule each."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.docs.examples import Example, Examples, run

from lls_provider.errors import Code

HEAD = "apiVersion: llamastack.io/v1alpha1\nkind: ProviderFile\n"
PROVIDER = "- id: acme-echo\n  image: registry.example.com/acme/echo:1.0\n"
GOOD = f"{HEAD}providers:\n{PROVIDER}"

TEXTS = {
    Code.YAML_INVALID: ("A bracket is not closed.", f"{HEAD}include: [catalogue.yaml\n"),
    Code.YAML_LIMIT: (
        "Lists are nested 80 levels deep.",
        f"{HEAD}providers: {'[' * 80}{']' * 80}\n",
    ),
    Code.DUPLICATE_KEY: ("The key `image` appears twice.", f"{GOOD}  image: acme/other:1.0\n"),
    Code.FIELD_MISSING: ("A provider has no `id`.", GOOD.replace("id: acme-echo\n  ", "")),
    Code.FIELD_UNKNOWN: ("`image` is misspelt.", GOOD.replace("image:", "imgae:")),
    Code.FIELD_TYPE: ("`enabled` is text.", f'{GOOD}  enabled: "no"\n'),
    Code.FIELD_VALUE: ("The ID has capital letters.", GOOD.replace("acme-echo", "Acme_Echo")),
    Code.DOCUMENT_INVALID: (
        "Two mistakes are in one file.",
        f'{GOOD.replace("image:", "imgae:")}  enabled: "no"\n',
    ),
}


def judge(text: str, folder: Path) -> object:
    (folder / "providers.yaml").write_text(text)
    return run("compat", "providers.yaml")


def missing(_: Path) -> object:
    return run("compat", "providers.yaml")


def unreadable(folder: Path) -> object:
    (folder / "catalogue").mkdir()
    return judge(f"{HEAD}include: [catalogue]\n", folder)


EXAMPLES: Examples = {
    code: Example(f"{about} `lls-provider compat providers.yaml` prints:", partial(judge, text))
    for code, (about, text) in TEXTS.items()
} | {
    Code.FILE_MISSING: Example(
        "There is no such file. `lls-provider compat providers.yaml` prints:", missing
    ),
    Code.FILE_UNREADABLE: Example(
        "The file includes a directory. `lls-provider compat providers.yaml` prints:", unreadable
    ),
}
