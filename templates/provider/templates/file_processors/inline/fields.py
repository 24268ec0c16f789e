
    encoding: str = Field(default="utf-8", description="How the bytes of a file become text.")
    chunk_words: int = Field(
        default=200, gt=0, description="The size of a chunk when a request leaves it to us."
    )
