"""What the configuration of a server, and the header of a request, may say about this provider."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, HttpUrl, SecretStr

# a variable that is not set, `${env.NAME:=}`, arrives as an empty text
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(lambda value: value or None)]


class EndpointConfig(BaseModel):
    """The ``config`` of this provider; the server validates it before anything runs."""

    model_config = ConfigDict(extra="forbid")

    base_url: HttpUrl = Field(
        description="Where the OpenAI-compatible API is, such as https://llm.example.com/v1."
    )
    api_key: OptionalSecret = Field(
        default=None,
        description="The key for requests that bring none. ${env.NAME:=} reads it from the "
        "environment of the server.",
    )
    embedding_models: dict[str, int] = Field(
        default_factory=dict,
        description="The embedding models of the endpoint, with the dimension of each; "
        "its list of models does not tell which they are.",
    )
    timeout: float = Field(
        default=60,
        gt=0,
        description="Seconds for a whole reply, and in a stream for each part of it.",
    )
    connect_timeout: float = Field(default=5, gt=0, description="Seconds for a connection.")
    refresh_models: bool = Field(
        default=False, description="Whether the server asks for the list of models again."
    )


class EndpointProviderData(BaseModel):
    """What a request may bring in the header X-LlamaStack-Provider-Data or X-OGX-Provider-Data."""

    openai_endpoint_api_key: OptionalSecret = Field(
        default=None, description="The key for this request, instead of the configured one."
    )
