"""What the configuration of a server may say about this provider."""

from pydantic import BaseModel, ConfigDict, Field


class Config(BaseModel):
    """The ``config`` of this provider; the server validates it before anything runs."""

    model_config = ConfigDict(extra="forbid")

    blocked: list[str] = Field(
        default_factory=list, description="Words that a message may not contain, in any case."
    )
    message: str = Field(
        default="This message was blocked.", description="What the user is told when it does."
    )
