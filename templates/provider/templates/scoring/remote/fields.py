    portion: int = Field(
        default=100, gt=0, description="How many rows one request to the service has at most."
    )
