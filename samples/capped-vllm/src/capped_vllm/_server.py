"""What we take from the server that runs us: its API package, and its own provider for vLLM.

The provider is no public API. A server that moves it fails here, while the image is built, and not
when a Pod starts.
"""

try:
    import ogx_api as api
    from ogx.providers.registry.inference import available_providers
    from ogx.providers.remote.inference.vllm.config import VLLMInferenceAdapterConfig
    from ogx.providers.remote.inference.vllm.vllm import VLLMInferenceAdapter
except ModuleNotFoundError as error:
    if error.name != "ogx_api":
        raise  # ogx is there but broken: its own error tells why
    import llama_stack_api as api
    from llama_stack.providers.registry.inference import available_providers
    from llama_stack.providers.remote.inference.vllm.config import VLLMInferenceAdapterConfig
    from llama_stack.providers.remote.inference.vllm.vllm import VLLMInferenceAdapter

__all__ = ["VLLMInferenceAdapter", "VLLMInferenceAdapterConfig", "api", "available_providers"]
