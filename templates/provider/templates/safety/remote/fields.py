    model: str = Field(default="moderation", description="The model of the service that judges.")
    message: str = Field(
        default="This message was blocked.", description="What the user is told when it was."
    )
