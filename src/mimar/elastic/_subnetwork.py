"""What remains of each layer of a parent, as a value."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mimar.shapes import attention_parameters, feed_forward_parameters
from mimar.space import Architecture, Block, FeedForward, Mixer


@dataclass(frozen=True, slots=True)
class SubNetwork:
    """Sizes of every layer of the parent, those that are dropped included; immutable and hashable.

    kv_heads: key and value heads that remain, each with its query heads; 0 where the attention is removed.
    intermediate: channels of the feed-forward part that remain; 0 where it is removed. A layer without both is dropped.
    """

    kv_heads: tuple[int, ...]
    intermediate: tuple[int, ...]

    @staticmethod
    def whole(parent: Architecture) -> SubNetwork:
        """All of the parent."""
        return SubNetwork(
            tuple(block.mixer.num_kv_heads for block in parent.blocks),
            tuple(block.feed_forward.intermediate_size for block in parent.blocks),
        )

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Of each layer, (kv heads, intermediate size)."""
        return tuple(zip(self.kv_heads, self.intermediate, strict=True))

    @property
    def kept_layers(self) -> tuple[int, ...]:
        """Numbers, in the parent, of the layers that have something left."""
        return tuple(number for number, sizes in enumerate(self.sizes) if any(sizes))

    def architecture(self, parent: Architecture) -> Architecture:
        """The model that remains of `parent`, without the layers that are dropped."""
        blocks = (_block(parent.blocks[number], *self.sizes[number]) for number in self.kept_layers)
        return replace(parent, blocks=tuple(blocks))

    def block_params(self, parent: Architecture) -> int:
        """Weights of the layers that remain, norms left out."""
        blocks, hidden = self.architecture(parent).blocks, parent.hidden_size
        return sum(attention_parameters(block, hidden) + feed_forward_parameters(block, hidden) for block in blocks)


def _block(block: Block, kv_heads: int, intermediate: int) -> Block:
    mixer, part = block.mixer, block.feed_forward
    heads = kv_heads * (mixer.num_heads // mixer.num_kv_heads)
    return Block(
        replace(mixer, num_heads=heads, num_kv_heads=kv_heads) if kv_heads else Mixer("none"),
        replace(part, intermediate_size=intermediate) if intermediate else FeedForward("none"),
    )
