"""What the configuration of a server may say about this provider."""

from pydantic import BaseModel, ConfigDict, Field


class EchoConfig(BaseModel):
    """The ``config`` of this provider; the server validates it before anything runs."""

    model_config = ConfigDict(extra="forbid")

    prefix: str = Field(default="", description="Stands before each echoed text.")
