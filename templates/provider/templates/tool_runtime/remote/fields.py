    description: str = Field(
        default="Search the web.", description="What a model is told that the tool does."
    )
    limit: int = Field(default=3, gt=0, description="How many results are asked for.")
