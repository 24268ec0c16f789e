
    timeout: float = Field(default=60.0, gt=0, description="The seconds that a model may take.")
