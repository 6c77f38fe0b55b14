"""Trials → front, tables, accounting, one self-contained HTML page, one static picture; pure functions of values."""

from mimar.report._accounting import (
    OperatorRow,
    evaluations,
    hypervolume_curve,
    operator_accounting,
    operator_shares,
    rejection_counts,
)
from mimar.report._compare import Comparison, Contender, GroupRow, StudyRow, compare
from mimar.report._data import FamiliarShape, ReportData
from mimar.report._describe import describe_architecture
from mimar.report._display import Display, display_of, format_metric, format_number
from mimar.report._front import front_table
from mimar.report._kept import KeptLayers
from mimar.report._lines import lines_svg
from mimar.report._measured import Measured, MeasuredModel, quality_svg
from mimar.report._page import render_html
from mimar.report._svg import front_svg
from mimar.report._training import A100, Accelerator, TrainingCost, training_cost

__all__ = [
    "A100",
    "Accelerator",
    "Comparison",
    "Contender",
    "Display",
    "FamiliarShape",
    "GroupRow",
    "KeptLayers",
    "Measured",
    "MeasuredModel",
    "OperatorRow",
    "ReportData",
    "StudyRow",
    "TrainingCost",
    "compare",
    "describe_architecture",
    "display_of",
    "evaluations",
    "format_metric",
    "format_number",
    "front_svg",
    "front_table",
    "hypervolume_curve",
    "lines_svg",
    "operator_accounting",
    "operator_shares",
    "quality_svg",
    "rejection_counts",
    "render_html",
    "training_cost",
]
