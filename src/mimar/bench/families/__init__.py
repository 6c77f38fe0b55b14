"""The models of published benchmarks as `mimar.proxies.Subject`s, so that every proxy can be held against their labels.

They serve comparison only: none of them is in the search space of `mimar.space`. Importing this package imports no
torch; `build`, `draw`, `ones` and `loss` do.
"""

from mimar.bench.families._cell201 import Cell201
from mimar.bench.families._flexibert import FlexiBert, FlexiBertLayer
from mimar.bench.families._gpt2_like import Gpt2Like

__all__ = ["Cell201", "FlexiBert", "FlexiBertLayer", "Gpt2Like"]
