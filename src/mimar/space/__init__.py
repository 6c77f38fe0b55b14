"""Architectures as values, and the spaces they are searched in."""

from mimar.space._architecture import (
    GATE_ACTIVATION,
    HEADED_MIXERS,
    SOFTMAX_MIXERS,
    Activation,
    Architecture,
    AttentionKernel,
    Block,
    FeedForward,
    FeedForwardKind,
    Mixer,
    MixerKind,
    Norm,
    NormPlacement,
    Position,
    Topology,
)
from mimar.space._familiar import FAMILIAR
from mimar.space._json import Defaults, architecture_from_json, architecture_to_json
from mimar.space._legality import WIDTH_MULTIPLE, illegal_reasons
from mimar.space._product import Combination, ProductSpace
from mimar.space._protocol import Choice, Choices, SearchSpace, are_numbers
from mimar.space._schema import schema_fields
from mimar.space._settings import space_from_json, space_to_json
from mimar.space._transformer import Scope, TransformerSpace

__all__ = [
    "FAMILIAR",
    "GATE_ACTIVATION",
    "HEADED_MIXERS",
    "SOFTMAX_MIXERS",
    "WIDTH_MULTIPLE",
    "Activation",
    "Architecture",
    "AttentionKernel",
    "Block",
    "Choice",
    "Choices",
    "Combination",
    "Defaults",
    "FeedForward",
    "FeedForwardKind",
    "Mixer",
    "MixerKind",
    "Norm",
    "NormPlacement",
    "Position",
    "ProductSpace",
    "Scope",
    "SearchSpace",
    "Topology",
    "TransformerSpace",
    "architecture_from_json",
    "architecture_to_json",
    "are_numbers",
    "illegal_reasons",
    "schema_fields",
    "space_from_json",
    "space_to_json",
]
