"""A winner leaves the study: as JSON, as Python code, as a Hugging Face checkpoint, as GGUF; a whole study as CSV or
in Optuna's storage.

Each form is written aside, checked by reading it back (models in a fresh process, by their logits), and only then
put in place, so that nothing half-written stays. Heavy libraries are loaded when an export runs.
"""

from mimar.export._code import export_code
from mimar.export._csv import export_csv
from mimar.export._gguf import export_gguf
from mimar.export._gguf_check import QUANTIZATIONS, require_gguf
from mimar.export._hf import export_hf
from mimar.export._int8 import INT8, int8_rounded, require_int8
from mimar.export._json import export_json
from mimar.export._optuna import export_optuna
from mimar.export._publish import ExportResult, require_free, weights_written, written_aside
from mimar.export._shrunk import export_shrunk_gguf, require_shrinkable_to_gguf, save_shrunk_gguf
from mimar.export._shrunk_hf import export_shrunk_hf
from mimar.export._shrunk_onnx import export_shrunk_onnx, require_onnx
from mimar.export._tokenizer import copy_tokenizer

__all__ = [
    "INT8",
    "QUANTIZATIONS",
    "ExportResult",
    "copy_tokenizer",
    "export_code",
    "export_csv",
    "export_gguf",
    "export_hf",
    "export_json",
    "export_optuna",
    "export_shrunk_gguf",
    "export_shrunk_hf",
    "export_shrunk_onnx",
    "int8_rounded",
    "require_free",
    "require_gguf",
    "require_int8",
    "require_onnx",
    "require_shrinkable_to_gguf",
    "save_shrunk_gguf",
    "weights_written",
    "written_aside",
]
