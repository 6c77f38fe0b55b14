"""Surrogates that learn metrics from trials."""

from mimar.predict._features import Features
from mimar.predict._ridge import MetricModel, Ridge

__all__ = ["Features", "MetricModel", "Ridge"]
