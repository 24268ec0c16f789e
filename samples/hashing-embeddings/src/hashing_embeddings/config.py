"""What the configuration of a server may say about this provider."""

from pydantic import BaseModel, ConfigDict, Field


class HashingConfig(BaseModel):
    """The ``config`` of this provider; the server validates it before anything runs."""

    model_config = ConfigDict(extra="forbid")

    dimension: int = Field(default=256, ge=8, le=4096, description="How long a vector is.")
    remembered_words: int = Field(
        default=50_000, ge=1, description="Words whose places in a vector are remembered."
    )
