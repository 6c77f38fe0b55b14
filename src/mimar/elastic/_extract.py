"""A sub-network as a model of its own."""

from __future__ import annotations

from dataclasses import replace

from mimar.elastic._parent import Parent
from mimar.elastic._subnetwork import SubNetwork
from mimar.elastic._supernetwork import SuperNetwork


def extract(network: SuperNetwork, sub: SubNetwork) -> Parent:
    """`sub` as a model of its own: the logits are those of the whole with the rest masked and the
    weights behind it re-fitted."""
    arch = sub.architecture(network.parent.arch)
    return replace(network.parent, arch=arch, layers=tuple(network.layers(sub)))
