"""Which proxy or strategy is right: comparisons against published results."""

from mimar.bench._fetch import FETCHABLE, fetch, licence_of
from mimar.bench._files import read_records, tables
from mimar.bench._formats import load_truth
from mimar.bench._measures import Measures, measure
from mimar.bench._predictor_table import PredictorRow, predicted_quantity, predictor_table, truth_features
from mimar.bench._run import BASELINES, ProxyRow, proxy_table, standardiser_for
from mimar.bench._truth import Truth, TruthRow

__all__ = [
    "BASELINES",
    "FETCHABLE",
    "Measures",
    "PredictorRow",
    "ProxyRow",
    "Truth",
    "TruthRow",
    "fetch",
    "licence_of",
    "load_truth",
    "measure",
    "predicted_quantity",
    "predictor_table",
    "proxy_table",
    "read_records",
    "standardiser_for",
    "tables",
    "truth_features",
]
