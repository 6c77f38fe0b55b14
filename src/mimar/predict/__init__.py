"""Surrogates that learn metrics from trials."""

from mimar.predict._features import Features
from mimar.predict._ridge import Ridge

__all__ = ["Features", "Ridge"]
