
    directory: str = Field(
        default="~/.local/share/{{ cookiecutter.name }}",
        description="Where the skills are kept; it is made when the first one comes.",
    )
