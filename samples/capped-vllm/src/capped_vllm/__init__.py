"""The remote inference provider capped-vllm, which takes the place of the server's own vLLM."""
