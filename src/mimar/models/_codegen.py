"""Architecture → a standalone Python file with the same model, written as a person would write it.

Only our own templates, whole numbers and known words of a legal `Architecture` ever get into the code.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re

from mimar.errors import ArchitectureError, InputError
from mimar.models._codegen_blocks import block_pieces, layers_piece, norm_expression, uniform_constants
from mimar.models._codegen_feed_forward import feed_forward_flags, feed_forward_pieces
from mimar.models._codegen_mixers import mixer_flags, mixer_pieces
from mimar.models._codegen_template import render
from mimar.shapes import parameters
from mimar.space import Architecture, illegal_reasons

_CLASS_NAME = re.compile(r"[A-Z][A-Za-z0-9]{0,39}", re.ASCII)

_OPENING = '''
"""A decoder-only language model: $layers layers, hidden size $hidden, $parameters parameters.

Made for up to $context tokens. Shapes are written as B sequences, T tokens.
"""

from collections.abc import Callable, Iterator  #? callable !uniform
from collections.abc import Iterator  #? !callable !uniform
#? !uniform
import torch
import torch.nn.functional as F  #? functional
from torch import Tensor, nn
'''

_SINUSOIDS = '''
def sinusoids(start: int, tokens: int, device: torch.device) -> Tensor:  #? cached
def sinusoids(tokens: int, device: torch.device) -> Tensor:  #? !cached
    """Codes of the positions [T, HIDDEN_SIZE]: sines at even features, cosines at odd ones."""
    rates = POSITION_BASE ** (-torch.arange(0, HIDDEN_SIZE, 2, device=device) / HIDDEN_SIZE)
    positions = torch.arange(start, start + tokens, device=device)  #? cached
    positions = torch.arange(tokens, device=device)  #? !cached
    angles = positions[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
'''

_MODEL = '''
class Cache:
    """What generation remembers of earlier tokens: one state for each layer executed."""

    def __init__(self) -> None:
        self.length = 0  #? sinusoidal
        self.states: list[dict[str, Tensor]] = [{} for _ in range(NUM_LAYERS)]


class $class_name(nn.Module):
    """token_ids [B, T] -> logits [B, T, VOCAB_SIZE]."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCAB_SIZE, HIDDEN_SIZE)
        self.blocks = nn.ModuleList($blocks)
        self.norm = $norm  #? !post
        self.head = nn.Linear(HIDDEN_SIZE, VOCAB_SIZE, bias=False)  #? !tied
        for parameter in self.parameters():
            if parameter.dim() > 1:  # all but the norms
                nn.init.normal_(parameter, std=INIT_STD)

    def forward(self, token_ids: Tensor, cache: Cache | None = None) -> Tensor:
        """Logits after each token; with a cache the tokens continue those that it remembers."""
        cache = cache or Cache()
        x = self.embedding(token_ids)
        codes = sinusoids(cache.length, token_ids.shape[1], x.device)  #? sinusoidal
        x = x * HIDDEN_SIZE**0.5 + codes.to(x.dtype)  #? sinusoidal
        cache.length += token_ids.shape[1]  #? sinusoidal
        for layer, state in enumerate(cache.states):  #? shared
            x = self.blocks[layer // LAYER_SHARING](x, state)  #? shared
        for block, state in zip(self.blocks, cache.states, strict=True):  #? !shared
            x = block(x, state)  #? !shared
        return $logits


@torch.no_grad()
def generate(
    model: $class_name,
    prompt: Tensor,
    max_new_tokens: int,
    temperature: float = 1.0,
) -> Tensor:
    """Continue prompt [B, T] to [B, T + max_new_tokens]; temperature 0 takes the likeliest token."""
    cache = Cache()
    text = new = prompt
    for _ in range(max_new_tokens):
        logits = model(new, cache)[:, -1]
        if temperature == 0:
            new = logits.argmax(dim=-1, keepdim=True)
        else:
            new = torch.multinomial((logits / temperature).softmax(dim=-1), 1)
        text = torch.cat([text, new], dim=1)
    return text


if __name__ == "__main__":
    model = $class_name().eval()
    print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")
    tokens = torch.randint(VOCAB_SIZE, (1, 8))
    print("logits", tuple(model(tokens).shape))
    print("tokens", generate(model, tokens, max_new_tokens=8).tolist())
'''


def generate_code(arch: Architecture, *, class_name: str = "Model") -> str:
    """A Python file that needs torch only and whose class `class_name` computes what `build(arch)` computes.

    Its state dict has the names of `mimar.shapes.matrices`, so that weights move over with a strict load. The file
    also has a `generate` with a cache, and runs as a script. `ArchitectureError` when `arch` is not legal; `InputError`
    when `class_name` is not a plain class name, or is a name that the file itself needs.
    """
    code = _write(arch, "Model")
    if class_name == "Model":
        return code
    if not _CLASS_NAME.fullmatch(class_name):
        raise InputError(
            "expected a class name of at most 40 letters and digits that begins with a capital, "
            f"got {class_name[:60]!r}; for example Model"
        )
    if keyword.iskeyword(class_name) or class_name in {*dir(builtins), *_names(code)}:
        raise InputError(f"expected a class name that is still free, got {class_name}; choose another, like Model")
    return _write(arch, class_name)


def generate_layer_code(arch: Architecture) -> str:
    """The part of the file that says what a layer is: its sizes, mixer, feed-forward part and block, without a cache.

    `ArchitectureError` when `arch` is not legal.
    """
    return "\n\n\n".join(code_pieces(arch, architecture_flags(arch)))


def _write(arch: Architecture, class_name: str) -> str:
    flags = architecture_flags(arch) | {"cached"}
    words = architecture_words(arch) | {"class_name": class_name}
    pieces = [*code_pieces(arch, flags), render(_MODEL, flags, words)]
    return with_imports(_OPENING, pieces, flags, words)


def with_imports(opening: str, pieces: list[str], flags: set[str], words: dict[str, str]) -> str:
    """The whole file: `opening` with the imports that `pieces` need, then the pieces; the first holds constants."""
    body = "\n\n\n".join(pieces)
    used = {flag for flag, prefix in (("functional", "F."), ("torch", "torch.")) if prefix in body}
    return f"{render(opening, flags | used, words)}\n\n{body}\n"


def code_pieces(arch: Architecture, flags: set[str]) -> list[str]:
    """Everything between the imports and the model: constants, functions, classes, the layers."""
    return [
        _constants(arch, flags),
        *([render(_SINUSOIDS, flags, {})] if "sinusoidal" in flags else []),
        *mixer_pieces(arch, flags),
        *feed_forward_pieces(arch, flags),
        *block_pieces(arch, flags),
        layers_piece(arch, flags),
    ]


def architecture_flags(arch: Architecture) -> set[str]:
    """Which conditions of the templates hold for `arch`; `ArchitectureError` when it is not legal."""
    if reasons := illegal_reasons(arch):
        raise ArchitectureError("cannot write code for an illegal architecture", reasons)
    conditions = {
        "uniform": arch.is_uniform,
        "shared": arch.layer_sharing > 1,
        "tied": arch.tied_embeddings,
        "dropout": arch.dropout > 0,
        "parallel": arch.topology == "parallel",
        "post": arch.norm_placement == "post",
        "sandwich": arch.norm_placement == "sandwich",
        "sinusoidal": arch.position == "sinusoidal",
    }
    return {name for name, holds in conditions.items() if holds} | mixer_flags(arch) | feed_forward_flags(arch)


def architecture_words(arch: Architecture) -> dict[str, str]:
    """What the templates of a whole file need to know of `arch`."""
    stream = "x" if arch.norm_placement == "post" else "self.norm(x)"
    each = "NUM_LAYERS // LAYER_SHARING" if arch.layer_sharing > 1 else "NUM_LAYERS"
    return {
        "layers": str(arch.num_layers),
        "hidden": str(arch.hidden_size),
        "context": str(arch.context_length),
        "parameters": f"{parameters(arch):,}",
        "norm": norm_expression(arch),
        "blocks": f"make_block() for _ in range({each})" if arch.is_uniform else "make_blocks()",
        "logits": f"F.linear({stream}, self.embedding.weight)" if arch.tied_embeddings else f"self.head({stream})",
    }


def _constants(arch: Architecture, flags: set[str]) -> str:
    constants: dict[str, int | str | float] = {
        "VOCAB_SIZE": arch.vocab_size,
        "HIDDEN_SIZE": arch.hidden_size,
        "NUM_LAYERS": arch.num_layers,
    }
    if "shared" in flags:
        constants["LAYER_SHARING"] = f"{arch.layer_sharing}  # layers in a row that share one set of weights"
    constants |= uniform_constants(arch, flags)
    if "dropout" in flags:
        constants["DROPOUT"] = arch.dropout
    constants["NORM_EPS"] = "1e-5"
    if flags & {"rope", "sinusoidal"}:
        constants["POSITION_BASE"] = "10000.0  # longest wavelength of the position codes, over 2 pi"
    if "cached" in flags:  # transformers keeps it in its configuration
        constants["INIT_STD"] = "0.02"
    return "\n".join(f"{name} = {value}" for name, value in constants.items())


def _names(code: str) -> set[str]:
    """Every name that `code` defines or uses."""
    nodes = list(ast.walk(ast.parse(code)))
    defined = {node.name for node in nodes if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    return defined | {node.id for node in nodes if isinstance(node, ast.Name)}
