"""Template pieces of the blocks, and the list of layers that they form."""

from __future__ import annotations

from collections.abc import Set
from itertools import groupby

from mimar.models._codegen_feed_forward import feed_forward_arguments, feed_forward_class
from mimar.models._codegen_mixers import CLASS_NAMES, mixer_arguments
from mimar.models._codegen_template import render
from mimar.space import Architecture, Block

LINE_LENGTH = 110
"""Longest line of generated code."""

_BLOCK = '''
class $name(nn.Module):
    """$about; x [B, T, HIDDEN_SIZE] -> same shape."""

    def __init__(self, $parts) -> None:
        super().__init__()
        self.block_norm = $norm  #? parallel !sandwich
        self.block_norm_in = $norm  #? parallel sandwich
        self.block_norm_out = $norm  #? parallel sandwich
        self.mixer_norm = $norm  #? mixer !parallel !sandwich
        self.mixer_norm_in = $norm  #? mixer !parallel sandwich
        self.mixer_norm_out = $norm  #? mixer !parallel sandwich
        self.mixer = mixer  #? mixer
        self.feed_forward_norm = $norm  #? feed_forward !parallel !sandwich
        self.feed_forward_norm_in = $norm  #? feed_forward !parallel sandwich
        self.feed_forward_norm_out = $norm  #? feed_forward !parallel sandwich
        self.feed_forward = feed_forward  #? feed_forward
        self.dropout = nn.Dropout(DROPOUT)  #? dropout

    def forward(self, x: Tensor$state_argument) -> Tensor:
        """The residual stream after this layer."""
'''

_CONSTRUCT_UNIFORM = '''
def make_block() -> nn.Module:
    """One layer; all are alike."""
    mixer = $mixer  #? mixer
    feed_forward = $feed_forward  #? feed_forward
    return $block
'''

_CONSTRUCT_LAYERS = '''
def make_blocks() -> Iterator[nn.Module]:
    """The layers, first layer first."""  #? !shared
    """The sets of weights, first layer first; each serves LAYER_SHARING layers in a row."""  #? shared
$rows
'''


def block_pieces(arch: Architecture, flags: Set[str]) -> list[str]:
    """One class for each make-up of a block that `arch` has: both parts, mixer only, feed-forward part only."""
    made = sorted({_parts(block) for block in arch.unique_blocks}, key=lambda parts: (-len(parts), parts))
    return [_block_class(arch, parts, flags) for parts in made]


def layers_piece(arch: Architecture, flags: Set[str]) -> str:
    """The function that makes the blocks: from constants when all layers are alike, else layer by layer."""
    if arch.is_uniform:
        block = arch.blocks[0]
        parts = _parts(block)
        words = {
            "mixer": f"{CLASS_NAMES.get(block.mixer.kind, '')}({', '.join(_mixer_arguments(block, flags))})",
            "feed_forward": f"{feed_forward_class(block.feed_forward)}({', '.join(_part_arguments(block, flags))})",
            "block": f"{_block_name(parts)}({', '.join(parts)})",
        }
        return render(_CONSTRUCT_UNIFORM, flags | set(parts), words)
    runs = [(block, len(list(run))) for block, run in groupby(arch.unique_blocks)]
    return render(_CONSTRUCT_LAYERS, flags, {"rows": "\n".join(_rows(block, n, flags) for block, n in runs)})


def uniform_constants(arch: Architecture, flags: Set[str]) -> dict[str, int | str]:
    """Name → value of what all layers have in common; empty when they differ."""
    if not arch.is_uniform:
        return {}
    return _mixer_arguments(arch.blocks[0], flags) | _part_arguments(arch.blocks[0], flags)


def norm_expression(arch: Architecture) -> str:
    """The expression that makes one norm of `arch`."""
    return f"nn.{'RMSNorm' if arch.norm == 'rmsnorm' else 'LayerNorm'}(HIDDEN_SIZE, eps=NORM_EPS)"


def _parts(block: Block) -> tuple[str, ...]:
    there = {"mixer": block.mixer.kind != "none", "feed_forward": block.feed_forward.kind != "none"}
    return tuple(name for name, holds in there.items() if holds)


def _block_name(parts: tuple[str, ...]) -> str:
    names = {"mixer": "MixerBlock", "feed_forward": "FeedForwardBlock"}
    return names[parts[0]] if len(parts) == 1 else "Block"


def _mixer_arguments(block: Block, flags: Set[str]) -> dict[str, int | str]:
    return {**mixer_arguments(block.mixer, flags)} if block.mixer.kind != "none" else {}


def _part_arguments(block: Block, flags: Set[str]) -> dict[str, int | str]:
    return feed_forward_arguments(block.feed_forward, flags) if block.feed_forward.kind != "none" else {}


def _block_class(arch: Architecture, parts: tuple[str, ...], flags: Set[str]) -> str:
    words = {
        "name": _block_name(parts),
        "about": _about(arch, parts),
        "parts": ", ".join(f"{part}: nn.Module" for part in parts),
        "norm": norm_expression(arch),
        "state_argument": ", state: dict[str, Tensor]" if "cached" in flags else "",
    }
    body = "\n".join(f"        {line}" for line in _body(arch, parts, flags))
    return render(_BLOCK, flags | set(parts), words) + "\n" + body


def _about(arch: Architecture, parts: tuple[str, ...]) -> str:
    where = {"pre": "before", "post": "after", "sandwich": "before and after"}[arch.norm_placement]
    together = " side by side" if arch.topology == "parallel" and len(parts) > 1 else ""
    what = " and ".join(parts).replace("_", "-").capitalize()
    return f"{what}{together}, normed {where}"


def _body(arch: Architecture, parts: tuple[str, ...], flags: Set[str]) -> list[str]:
    """Statements of a block's forward pass."""
    calls = {part: f"self.{part}({{}}{', state' if part == 'mixer' and 'cached' in flags else ''})" for part in parts}
    if arch.topology == "parallel":
        return _parallel_body(arch, list(calls.values()), flags)
    steps = [_step(arch, f"{part}_norm", call, flags) for part, call in calls.items()]
    return [*(f"x = {step}" for step in steps[:-1]), f"return {steps[-1]}"]


def _parallel_body(arch: Architecture, calls: list[str], flags: Set[str]) -> list[str]:
    if len(calls) == 1:
        return [f"return {_step(arch, 'block_norm', calls[0], flags)}"]
    if arch.norm_placement == "post":
        added = " + ".join(call.format("x") for call in calls)
        return [f"added = {added}", f"return self.block_norm(x + {_drop('added', flags)})"]
    end = "_in" if arch.norm_placement == "sandwich" else ""
    added = "self.block_norm_out(added)" if end else "added"
    return [
        f"normed = self.block_norm{end}(x)",
        f"added = {' + '.join(call.format('normed') for call in calls)}",
        f"return x + {_drop(added, flags)}",
    ]


def _step(arch: Architecture, norm: str, call: str, flags: Set[str]) -> str:
    """The stream with one part added, and the norm where the placement puts it."""
    if arch.norm_placement == "post":
        return f"self.{norm}(x + {_drop(call.format('x'), flags)})"
    if arch.norm_placement == "pre":
        return f"x + {_drop(call.format(f'self.{norm}(x)'), flags)}"
    inside = call.format(f"self.{norm}_in(x)")
    return f"x + {_drop(f'self.{norm}_out({inside})', flags)}"


def _drop(expression: str, flags: Set[str]) -> str:
    return f"self.dropout({expression})" if "dropout" in flags else expression


def _rows(block: Block, count: int, flags: Set[str]) -> str:
    """The statement that yields `count` blocks alike."""
    made: list[str] = []
    if block.mixer.kind != "none":
        made.append(f"{CLASS_NAMES[block.mixer.kind]}({_values(_mixer_arguments(block, flags))})")
    if block.feed_forward.kind != "none":
        made.append(f"{feed_forward_class(block.feed_forward)}({_values(_part_arguments(block, flags))})")
    name = _block_name(_parts(block))
    margin = " " * (4 if count == 1 else 8)
    row = f"{margin}yield {name}({', '.join(made)})"
    if len(row) > LINE_LENGTH:
        row = "\n".join((f"{margin}yield {name}(", *(f"{margin}    {part}," for part in made), f"{margin})"))
    return row if count == 1 else f"    for _ in range({count}):\n{row}"


def _values(arguments: dict[str, int | str]) -> str:
    return ", ".join(str(value) for value in arguments.values())
