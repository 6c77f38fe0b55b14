"""Sub-networks of a pretrained model of the LLaMA family, run on views of its weights.

Torch is loaded on first use, so that importing this package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mimar.elastic._block_scores import BlockScores
from mimar.elastic._space import WIDTH_STEP, ElasticSpace, Form
from mimar.elastic._subnetwork import SubNetwork

if TYPE_CHECKING:
    from mimar.elastic._baselines import block_influences, by_magnitude, random_within, short_gpt, uniform_width
    from mimar.elastic._checkpoint import assemble, state_dict
    from mimar.elastic._extract import extract
    from mimar.elastic._forward import model_logits
    from mimar.elastic._importance import Refit, elimination_order
    from mimar.elastic._judged import Judged, Keep, among_the_best, everyone, judge, on_the_front, parent_stream
    from mimar.elastic._knapsack import best_within
    from mimar.elastic._likelihood import log_likelihoods
    from mimar.elastic._load import load_parent, local_files
    from mimar.elastic._loss import text_loss
    from mimar.elastic._module import Trainable, TrainableNetwork
    from mimar.elastic._parent import Attention, Facts, GatedMLP, Layer, Parent
    from mimar.elastic._scores import block_scores
    from mimar.elastic._supernetwork import SuperNetwork

_HOME = {
    "Attention": "_parent",
    "Facts": "_parent",
    "GatedMLP": "_parent",
    "Judged": "_judged",
    "Keep": "_judged",
    "Layer": "_parent",
    "Parent": "_parent",
    "Refit": "_importance",
    "SuperNetwork": "_supernetwork",
    "Trainable": "_module",
    "TrainableNetwork": "_module",
    "among_the_best": "_judged",
    "assemble": "_checkpoint",
    "best_within": "_knapsack",
    "block_influences": "_baselines",
    "block_scores": "_scores",
    "by_magnitude": "_baselines",
    "elimination_order": "_importance",
    "everyone": "_judged",
    "extract": "_extract",
    "judge": "_judged",
    "load_parent": "_load",
    "log_likelihoods": "_likelihood",
    "local_files": "_load",
    "model_logits": "_forward",
    "on_the_front": "_judged",
    "parent_stream": "_judged",
    "random_within": "_baselines",
    "short_gpt": "_baselines",
    "state_dict": "_checkpoint",
    "text_loss": "_loss",
    "uniform_width": "_baselines",
}

__all__ = [
    "WIDTH_STEP",
    "Attention",
    "BlockScores",
    "ElasticSpace",
    "Facts",
    "Form",
    "GatedMLP",
    "Judged",
    "Keep",
    "Layer",
    "Parent",
    "Refit",
    "SubNetwork",
    "SuperNetwork",
    "Trainable",
    "TrainableNetwork",
    "among_the_best",
    "assemble",
    "best_within",
    "block_influences",
    "block_scores",
    "by_magnitude",
    "elimination_order",
    "everyone",
    "extract",
    "judge",
    "load_parent",
    "local_files",
    "log_likelihoods",
    "model_logits",
    "on_the_front",
    "parent_stream",
    "random_within",
    "short_gpt",
    "state_dict",
    "text_loss",
    "uniform_width",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
