"""Architecture → modelling code for transformers, for architectures that no stock family computes."""

from __future__ import annotations

from mimar.models._codegen import architecture_flags, architecture_words, code_pieces, with_imports
from mimar.models._codegen_template import render
from mimar.space import Architecture

CONFIGURATION_CODE = '''"""Configuration of the model in modeling_mimar.py."""

from transformers import PreTrainedConfig


class MimarConfig(PreTrainedConfig):
    """Describes the model for other tools; its sizes themselves are constants of modeling_mimar.py."""

    model_type = "mimar"
'''
"""The whole of configuration_mimar.py; it is the same for every architecture."""

_OPENING = '''
"""A decoder-only language model: $layers layers, hidden size $hidden, $parameters parameters.

Load it by AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True). Its sizes are constants of
this file. Made for up to $context tokens. Shapes are written as B sequences, T tokens.
"""

from collections.abc import Callable, Iterator  #? callable !uniform
from collections.abc import Iterator  #? !callable !uniform
#? !uniform
import torch  #? torch
import torch.nn.functional as F  #? functional
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from .configuration_mimar import MimarConfig
'''

_MODEL = '''
class MimarForCausalLM(PreTrainedModel, GenerationMixin):
    """input_ids [B, T] -> logits [B, T, VOCAB_SIZE], without a cache: each new token reads the whole text."""

    config_class = MimarConfig

    def __init__(self, config: MimarConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(VOCAB_SIZE, HIDDEN_SIZE)
        self.blocks = nn.ModuleList($blocks)
        self.norm = $norm  #? !post
        self.head = nn.Linear(HIDDEN_SIZE, VOCAB_SIZE, bias=False)  #? !tied
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:  #? convolution
        super()._init_weights(module)  #? convolution
        if isinstance(module, GatedConvolution):  #? convolution
            nn.init.normal_(module.taps, std=self.config.initializer_range)  #? convolution
#? convolution
    def get_input_embeddings(self) -> nn.Module:
        """The token embedding."""
        return self.embedding

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the token embedding."""
        self.embedding = value
#? !tied
    def get_output_embeddings(self) -> nn.Module:  #? !tied
        """The head."""  #? !tied
        return self.head  #? !tied
#? !tied
    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:  #? !tied
        """Replace the head."""  #? !tied
        self.head = new_embeddings  #? !tied
#? tied
    def get_output_embeddings(self) -> None:  #? tied
        """Nothing: the head is the token embedding itself."""  #? tied

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        past_key_values: object = None,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
    ) -> CausalLMOutput | tuple[Tensor, ...]:
        """Logits, and the mean loss of the next token where labels [B, T] are given (-100 is left out).

        ValueError: padding before a text, or a cache.
        """
        if attention_mask is not None and (attention_mask[:, 1:] > attention_mask[:, :-1]).any():
            raise ValueError("padding before a text is not supported: pad after it")
        if use_cache or past_key_values is not None:
            raise ValueError("this model keeps no cache: pass use_cache=False")
        x = self.embedding(input_ids)
        codes = sinusoids(input_ids.shape[1], x.device)  #? sinusoidal
        x = x * HIDDEN_SIZE**0.5 + codes.to(x.dtype)  #? sinusoidal
        for layer in range(NUM_LAYERS):  #? shared
            x = self.blocks[layer // LAYER_SHARING](x)  #? shared
        for block in self.blocks:  #? !shared
            x = block(x)  #? !shared
        logits = $logits
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        output = CausalLMOutput(loss=loss, logits=logits)
        return output.to_tuple() if return_dict is False else output
'''


def generate_modeling_code(arch: Architecture) -> str:
    """The text of modeling_mimar.py: class MimarForCausalLM, whose state dict has the names of our own module.

    It stands beside `CONFIGURATION_CODE` in a checkpoint. `ArchitectureError` when `arch` is not legal.
    """
    flags = architecture_flags(arch)
    if any(block.mixer.kind == "convolution" for block in arch.unique_blocks):
        flags.add("convolution")
    words = architecture_words(arch)
    return with_imports(_OPENING, [*code_pieces(arch, flags), render(_MODEL, flags, words)], flags, words)
