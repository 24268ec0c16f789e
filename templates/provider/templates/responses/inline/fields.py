
    kept: int = Field(default=1000, gt=0, description="How many responses are kept in memory.")
    timeout: float = Field(default=60.0, gt=0, description="The seconds that a model may take.")
