
    at_once: int = Field(default=4, gt=0, description="How many requests run at once.")
    timeout: float = Field(default=60.0, gt=0, description="The seconds that one may take.")
    kept: int = Field(default=1000, gt=0, description="How many batches are remembered.")
