"""Which proxy or strategy is right: comparisons against published results."""

from mimar.bench._choice_effects import ChoiceEffect, choice_effects
from mimar.bench._decoder_tiny import tiny_architectures
from mimar.bench._early_losses import CheapLoss, cheap_loss, early_losses
from mimar.bench._fetch import FETCHABLE, fetch, licence_of
from mimar.bench._files import read_records, tables
from mimar.bench._formats import BUILT_IN, load_truth
from mimar.bench._judge_bins import JUDGED_BINS, JudgedBin, Judgement, equal_size_bins, judge_bins
from mimar.bench._make_truth import TruthPlan, make_truth, table_recipe, train_more
from mimar.bench._measures import Measures, measure
from mimar.bench._outside import OUTSIDERS, installed_outsiders, outsider
from mimar.bench._predictor_table import PredictorRow, predicted_quantity, predictor_table, truth_features
from mimar.bench._run import BASELINES, ProxyRow, proxy_table, standardiser_for
from mimar.bench._search_run import (
    CONTROL,
    SearchRun,
    SearchSummary,
    search_runs,
    summarise,
    without_llm,
)
from mimar.bench._search_truth import SEARCH_TRUTHS, SearchTruth, search_truth
from mimar.bench._shared_losses import shared_losses
from mimar.bench._table_cascade import CascadeRow, cascade_rows
from mimar.bench._timed import GuidedSearcher, MakeSearcher, Searcher
from mimar.bench._tiny_runs import TinyRun, TinySummary, good_loss, tiny_runs, tiny_summaries
from mimar.bench._tiny_search import TableExpectation, TinySearch
from mimar.bench._tiny_table import NoiseFloor, TinyRow, TinyTable
from mimar.bench._truth import Truth, TruthRow

__all__ = [
    "BASELINES",
    "BUILT_IN",
    "CONTROL",
    "FETCHABLE",
    "JUDGED_BINS",
    "OUTSIDERS",
    "SEARCH_TRUTHS",
    "CascadeRow",
    "CheapLoss",
    "ChoiceEffect",
    "GuidedSearcher",
    "JudgedBin",
    "Judgement",
    "MakeSearcher",
    "Measures",
    "NoiseFloor",
    "PredictorRow",
    "ProxyRow",
    "SearchRun",
    "SearchSummary",
    "SearchTruth",
    "Searcher",
    "TableExpectation",
    "TinyRow",
    "TinyRun",
    "TinySearch",
    "TinySummary",
    "TinyTable",
    "Truth",
    "TruthPlan",
    "TruthRow",
    "cascade_rows",
    "cheap_loss",
    "choice_effects",
    "early_losses",
    "equal_size_bins",
    "fetch",
    "good_loss",
    "installed_outsiders",
    "judge_bins",
    "licence_of",
    "load_truth",
    "make_truth",
    "measure",
    "outsider",
    "predicted_quantity",
    "predictor_table",
    "proxy_table",
    "read_records",
    "search_runs",
    "search_truth",
    "shared_losses",
    "standardiser_for",
    "summarise",
    "table_recipe",
    "tables",
    "tiny_architectures",
    "tiny_runs",
    "tiny_summaries",
    "train_more",
    "truth_features",
    "without_llm",
]
