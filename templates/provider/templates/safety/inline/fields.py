
    blocked: list[str] = Field(
        default_factory=list, description="Words that a message may not contain, in any case."
    )
    message: str = Field(
        default="This message was blocked.", description="What the user is told when it does."
    )
