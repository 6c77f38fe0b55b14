"""Architectures as PyTorch modules, as source code, and as configurations of Hugging Face families.

Modules and code generation are loaded on first use, so that importing this package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mimar.models._hf_config import MODEL_CLASSES, Family, stock_family, to_hf_config
from mimar.models._hf_reading import architecture_from_hf_config
from mimar.models._ragged_names import RAGGED_CLASSES, RAGGED_FILE, ragged_code, ragged_config, register_ragged

if TYPE_CHECKING:
    from mimar.models._block import make_mixer
    from mimar.models._cache import Cache, LayerCache
    from mimar.models._codegen import generate_code, generate_layer_code
    from mimar.models._codegen_hf import CONFIGURATION_CODE, generate_modeling_code
    from mimar.models._decoder import DecoderLM, build, initialise
    from mimar.models._feed_forward import ACTIVATIONS, MixtureOfExperts, make_feed_forward
    from mimar.models._generation import generate
    from mimar.models._hf_weights import from_hf_state_dict, to_hf_state_dict
    from mimar.models._positions import Positions

__all__ = [
    "ACTIVATIONS",
    "CONFIGURATION_CODE",
    "MODEL_CLASSES",
    "RAGGED_CLASSES",
    "RAGGED_FILE",
    "Cache",
    "DecoderLM",
    "Family",
    "LayerCache",
    "MixtureOfExperts",
    "Positions",
    "architecture_from_hf_config",
    "build",
    "from_hf_state_dict",
    "generate",
    "generate_code",
    "generate_layer_code",
    "generate_modeling_code",
    "initialise",
    "make_feed_forward",
    "make_mixer",
    "ragged_code",
    "ragged_config",
    "register_ragged",
    "stock_family",
    "to_hf_config",
    "to_hf_state_dict",
]

_HOME = {
    "ACTIVATIONS": "_feed_forward",
    "MixtureOfExperts": "_feed_forward",
    "Positions": "_positions",
    "make_feed_forward": "_feed_forward",
    "make_mixer": "_block",
    "CONFIGURATION_CODE": "_codegen_hf",
    "Cache": "_cache",
    "LayerCache": "_cache",
    "DecoderLM": "_decoder",
    "build": "_decoder",
    "initialise": "_decoder",
    "generate": "_generation",
    "generate_code": "_codegen",
    "generate_layer_code": "_codegen",
    "generate_modeling_code": "_codegen_hf",
    "from_hf_state_dict": "_hf_weights",
    "to_hf_state_dict": "_hf_weights",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
