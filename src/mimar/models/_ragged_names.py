"""What transformers has to know of models whose layers have sizes of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

RAGGED_FILE: Final = "modeling_ragged.py"
"""Name of the code beside a checkpoint."""

RAGGED_CLASSES: Final[Mapping[str, str]] = {
    "llama": "RaggedLlama", "mistral": "RaggedMistral", "qwen2": "RaggedQwen2", "qwen3": "RaggedQwen3",
}  # fmt: skip
"""Family → what names of its classes begin with."""


def ragged_code() -> str:
    """The whole of that file."""
    return Path(__file__).with_name("_ragged.py").read_text(encoding="utf-8")


def ragged_config(family: str, layer_sizes: list[list[int]]) -> dict[str, Any]:
    """What config.json has beside the keys of `family`. layer_sizes: kv heads and channels of each layer."""
    name = RAGGED_CLASSES[family]
    module = RAGGED_FILE.removesuffix(".py")
    return {
        "model_type": f"ragged_{family}",
        "architectures": [f"{name}ForCausalLM"],
        "auto_map": {
            "AutoConfig": f"{module}.{name}Config",
            "AutoModelForCausalLM": f"{module}.{name}ForCausalLM",
        },
        "layer_sizes": layer_sizes,
    }


def register_ragged() -> None:
    """Let ``AutoModelForCausalLM.from_pretrained`` load such checkpoints without ``trust_remote_code``."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from mimar.models import _ragged

    for name in RAGGED_CLASSES.values():
        config, model = (getattr(_ragged, f"{name}{kind}") for kind in ("Config", "ForCausalLM"))
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModelForCausalLM.register(config, model, exist_ok=True)
