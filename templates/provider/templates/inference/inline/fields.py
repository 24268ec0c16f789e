
    prefix: str = Field(default="", description="Stands before each echoed text.")
    dimension: int = Field(default=64, gt=0, description="How many numbers an embedding has.")
