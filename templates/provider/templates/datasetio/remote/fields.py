    page: int = Field(
        default=100, gt=0, description="How many rows the service returns at most at once."
    )
