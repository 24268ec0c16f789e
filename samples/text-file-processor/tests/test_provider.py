import importlib

import pytest
from pydantic import ValidationError

from text_file_processor._server import api
from text_file_processor.config import Config
from text_file_processor.provider import get_provider_spec


def test_the_spec_says_what_the_settings_say() -> None:
    spec = get_provider_spec()

    assert spec.provider_type == "inline::text-file-processor"
    assert spec.api == api.Api.file_processors
    assert callable(importlib.import_module(spec.module).get_provider_impl)
    module, _, name = spec.config_class.rpartition(".")
    assert getattr(importlib.import_module(module), name) is Config


def test_an_empty_config_has_defaults_and_an_unknown_key_is_refused() -> None:
    Config()
    with pytest.raises(ValidationError, match="Extra inputs"):
        Config.model_validate({"unknown": 1})
