import json
import subprocess
import sys
from importlib.resources import files

import pytest

import mimar.hardware
from mimar.errors import InputError, UnknownNameError
from mimar.hardware import load_profile, profile_from_json, profile_names, profile_to_json

SHIPPED = profile_names()[1:]


@pytest.fixture
def text():
    return (files("mimar.hardware") / "profiles" / "raspberry-pi-5.toml").read_text("utf-8")


def write(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text, "utf-8")
    return str(path)


def test_the_promised_devices_are_there():
    promised = {"this", "cpu-server", "laptop-cpu", "raspberry-pi-5", "phone-cpu", "phone-npu", "a100", "h100"}
    assert promised | {"jetson-orin-nano"} == set(profile_names())


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_profile_loads_and_cites_every_figure(name):
    profile = load_profile(name)
    assert profile.name == name
    assert set(profile.sources) == set(profile.figures)
    assert all(len(source) > 20 for source in profile.sources.values())
    assert {"fp16", "int8"} <= set(profile.dtypes)
    assert "estimate" in profile.sources["bandwidth_efficiency"]


@pytest.mark.parametrize("name", SHIPPED)
def test_json_reads_back(name):
    profile = load_profile(name)
    assert profile_from_json(json.loads(json.dumps(profile_to_json(profile)))) == profile
    assert hash(profile) == hash(load_profile(name))


def test_a_profile_of_ones_own(tmp_path, text):
    path = write(tmp_path, text.replace("memory_bandwidth = 17.1e9", "memory_bandwidth = 34.2e9"))
    assert load_profile(path).memory_bandwidth == 34.2e9


def test_unknown_name_lists_the_known():
    with pytest.raises(UnknownNameError, match=r"unknown device 'a1000': expected one of this, a100, .*raspberry-pi-5"):
        load_profile("a1000")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("memory_bytes = 7e9", "memory_bytes = -7e9", "memory_bytes: expected: .*greater than 0, got -7000000000.0"),
        ("memory_bytes = 7e9", "memory_bytes = inf", "memory_bytes: expected: .*finite number, got inf"),
        ("memory_bytes = 7e9", "", "memory_bytes: expected: .*required, got nothing"),
        ("memory_bytes = 7e9", "memory = 7e9", "memory: expected: .*"),
        ('"sinusoidal"', '"learned"', "supports.positions.*: expected: .*'sinusoidal'.*, got 'learned'"),
        ("[throughput.int4]", "[throughput.int3]", "throughput.int3: expected: .*'int4', got 'int3'"),
        ("compute_efficiency = 0.5", "compute_efficiency = 1.5", "throughput.fp32.compute_efficiency: .*got 1.5"),
        ("peak_w = 8.0", "peak_w = 2.0", "power: peak_w must be at least idle_w, got 2.0 and 2.7"),
        ('cache_bytes = "same brief', 'cash = "same brief', "nothing found for cache_bytes"),
        ("[power]", "[power", "mine.toml is not TOML"),
    ],
)
def test_a_broken_profile_says_file_field_expectation_and_value(tmp_path, text, old, new, message):
    assert old in text
    path = write(tmp_path, text.replace(old, new, 1))
    with pytest.raises(InputError, match=rf"(?s)device profile .*mine\.toml.*{message}|{message}"):
        load_profile(path)


def test_all_faults_of_a_profile_are_told_at_once(tmp_path, text):
    broken = text.replace("memory_bytes = 7e9", "memory_bytes = 0").replace("idle_w = 2.7", 'idle_w = "little"')
    with pytest.raises(InputError, match=r"memory_bytes: .*; power.idle_w: .*got 'little'"):
        load_profile(write(tmp_path, broken))


def test_a_file_that_is_not_there():
    with pytest.raises(InputError, match=r"cannot read the device profile nowhere\.toml"):
        load_profile("nowhere.toml")


def test_default_dtype_is_the_fastest_that_is_not_quantised():
    assert load_profile("a100").default_dtype == "bf16"
    assert load_profile("raspberry-pi-5").default_dtype == "fp16"
    assert load_profile("phone-npu").default_dtype == "fp16"


def test_importing_does_not_import_torch():
    code = "import sys, mimar.hardware, mimar.cli._devices; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_exported_names():
    assert sorted(mimar.hardware.__all__) == [
        "Agreement", "Amounts", "ColumnRow", "DTYPES", "DeviceProfile", "Dtype", "LayerLatency", "METRIC_DIRECTIONS",
        "Measurement",
        "MemoryBreakdown", "MemoryRow", "Pass", "Power", "Prices", "SpeedTruth", "Support", "THIS", "Throughput",
        "WEIGHT_BYTES", "Workload", "agreement", "calibrate", "device_advice", "device_here", "hardware_metrics",
        "kv_cache_bytes",
        "latency_breakdown", "load_profile", "measure_this", "measured_power", "measured_profile", "measured_speed",
        "memory_breakdown", "memory_bytes", "memory_truth", "predicted_cost", "profile_from_json", "profile_names",
        "profile_to_json", "published_fits", "read_published", "restrictions", "speed_truth", "unseen_architectures",
        "unsupported_reasons",
    ]  # fmt: skip
    assert all(getattr(mimar.hardware, name) is not None for name in mimar.hardware.__all__)
