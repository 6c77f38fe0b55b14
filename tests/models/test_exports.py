"""What the package shows, and what importing it costs."""

import subprocess
import sys

import pytest

import mimar.models


def test_every_exported_name_exists():
    for name in mimar.models.__all__:
        assert getattr(mimar.models, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mimar.models.nothing


def test_import_brings_no_heavy_package():
    code = "import sys, mimar.models; print([name for name in ('torch', 'transformers') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
