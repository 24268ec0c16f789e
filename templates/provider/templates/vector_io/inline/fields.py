
    max_chunks: int = Field(
        default=100_000, gt=0, description="How many chunks all stores may hold in memory."
    )
