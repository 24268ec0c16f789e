"""The API package of the server that runs us: one wheel serves ogx and llama-stack."""

try:
    import ogx_api as api
except ModuleNotFoundError as error:
    if error.name != "ogx_api":
        raise  # ogx is there but broken: its own error tells why
    import llama_stack_api as api

__all__ = ["api"]
