"""The API package of the server that runs us{% if cookiecutter._apis[cookiecutter.api].servers | length > 1 %}: one wheel serves ogx and llama-stack{% endif %}."""
{% if cookiecutter.kind == "remote" %}
import importlib
from typing import Any
{% endif %}
try:
    import ogx_api as api
except ModuleNotFoundError as error:
    if error.name != "ogx_api":
        raise  # ogx is there but broken: its own error tells why
    import llama_stack_api as api

__all__ = ["api"{% if cookiecutter.kind == "remote" %}, "provider_data"{% endif %}]
{%- if cookiecutter.kind == "remote" %}


def provider_data() -> dict[str, Any]:
    """Return what the caller of the current request sent for providers."""
    server = "ogx" if api.__name__ == "ogx_api" else "llama_stack"
    headers = importlib.import_module(f"{server}.core.request_headers")
    return headers.PROVIDER_DATA_VAR.get() or {}
{%- endif %}
