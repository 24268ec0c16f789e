
    documents: dict[str, str] = Field(
        default_factory=dict, description="The texts that can be found, by title."
    )
    description: str = Field(
        default="Search the documents of this organisation.",
        description="What a model is told that the tool does.",
    )
    limit: int = Field(default=3, gt=0, description="How many documents are returned at most.")
