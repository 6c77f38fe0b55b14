import json

import pytest

from mimar.cli._devices import device_rows
from mimar.hardware import (
    Workload,
    _power,
    _this,
    hardware_metrics,
    load_profile,
    measure_this,
    measured_profile,
    profile_to_json,
)
from mimar.hardware._machine import cache_bytes, memory_bytes
from mimar.hardware._profile import read_profile, shipped_profile_names
from mimar.hardware._this import cache_file


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def keep(profile, **machine):
    cache_file().parent.mkdir(parents=True, exist_ok=True)
    kept = {"machine": _this.fingerprint() | machine, "profile": profile_to_json(profile)}
    cache_file().write_text(json.dumps(kept), "utf-8")


def test_a_kept_measurement_is_used(round_device):
    keep(round_device)
    assert measured_profile() == measure_this() == load_profile("this") == round_device
    assert device_rows()[0]["memory_bandwidth"] == 200e9


@pytest.mark.parametrize("change", [{"cpu": "another"}, {"torch": "1.0"}, {"threads": "64"}, {"method": 0}])
def test_it_does_not_count_for_another_machine(round_device, change):
    keep(round_device, **change)
    assert measured_profile() is None


def test_a_profile_of_another_version_counts_as_none(round_device):
    keep(round_device)
    cache_file().write_text(cache_file().read_text("utf-8").replace("cache_efficiency", "kv_efficiency"), "utf-8")
    assert measured_profile() is None


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"machine": 1}', "\x00"])
def test_a_damaged_cache_counts_as_none(damage):
    cache_file().parent.mkdir(parents=True)
    cache_file().write_text(damage, "utf-8")
    assert measured_profile() is None


def test_a_cache_folder_that_cannot_be_written_costs_a_measurement_each_time(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("", "utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    profile = read_profile(shipped_profile_names()[0])
    monkeypatch.setattr("mimar.hardware._measure.measure_profile", lambda date: profile)
    assert measure_this() == profile
    assert "cannot keep the measurement of this machine in" in caplog.text
    assert "XDG_CACHE_HOME" in caplog.text


def test_what_the_system_says():
    assert 1e8 < memory_bytes() < 1e14
    assert 0 <= cache_bytes() < 1e10


def rapl(root, joules):
    for zone, value in enumerate(joules):
        folder = root / f"intel-rapl:{zone}"
        folder.mkdir(exist_ok=True)
        (folder / "name").write_text(f"package-{zone}\n")
        (folder / "energy_uj").write_text(str(int(value * 1e6)))
        (folder / "max_energy_range_uj").write_text(str(200 * 10**6 - 1))
    for name, what in (("intel-rapl:0:0", "core"), ("intel-rapl:9", "psys")):
        (root / name).mkdir(exist_ok=True)
        (root / name / "name").write_text(what)


def test_joules_of_all_packages_through_a_wrap(tmp_path):
    rapl(tmp_path, (10, 190))
    joules = _power._rapl_joules(tmp_path)
    assert joules is not None
    assert joules() == 0
    rapl(tmp_path, (40, 5))
    assert joules() == pytest.approx(30 + 15)


def test_no_counter_no_power(tmp_path):
    assert _power._rapl_joules(tmp_path) is None


@pytest.mark.slow
def test_measuring_this_machine(smollm):
    first = measure_this()
    assert cache_file().exists()
    assert measure_this() == first
    assert set(first.sources) == set(first.figures)
    assert set(first.dtypes) == {"fp32", "bf16", "fp16"}
    assert 1e8 < first.memory_bandwidth < 1e13
    assert all(1e8 < first.attainable_flops(dtype) < 1e16 for dtype in first.dtypes)
    again = measure_this(refresh=True)
    assert again != first
    assert measure_this() == again
    found = hardware_metrics(smollm, load_profile("this"), Workload(dtype="fp32"))
    assert 0.1 < found["decode_tokens_per_second"] < 1e5
    assert ("power_w" in found) == (load_profile("this").power is not None)
