
    directory: str = Field(
        default="~/.local/share/{{ cookiecutter.name }}",
        description="Where a dataset of the address local://NAME is the file NAME.jsonl.",
    )
