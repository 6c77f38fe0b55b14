from dataclasses import replace

import numpy as np
import pytest

from mimar.errors import InputError
from mimar.hardware import (
    Measurement,
    Prices,
    Workload,
    agreement,
    calibrate,
    hardware_metrics,
    predicted_cost,
)
from mimar.hardware._amounts import pass_amounts, rates_with
from mimar.hardware._cost import prices_of
from mimar.space import Defaults, TransformerSpace

TRUE = Prices(flop=1e-11, mixing_flop=4e-11, byte=1e-10, cache_byte=3e-10, launch=2e-5)
CACHE = 1e6


def measured(count, seed, prices=TRUE):
    """Random architectures at random uses, with exactly the times that the prices say."""
    space, rng = TransformerSpace("per-layer", Defaults(8192, 1024)), np.random.default_rng(seed)
    found = []
    for _ in range(count):
        prompt = int(rng.choice([16, 64, 256]))
        for kind in ("prefill", "decode"):
            use = Workload(int(rng.choice([256, 1024])), 1, prompt, "fp32")
            blank = Measurement(space.sample(rng), use, kind, 1.0)
            found.append(replace(blank, cost=predicted_cost(blank, prices, CACHE)))
    return found


def test_known_prices_are_found():
    assert calibrate(measured(12, 0), cache_bytes=CACHE) == pytest.approx(TRUE, rel=1e-3)


def test_noise_and_outliers_move_them_little():
    rng = np.random.default_rng(1)
    rows = [replace(row, cost=row.cost * np.exp(0.05 * rng.normal())) for row in measured(40, 2)]
    rows = [replace(row, cost=row.cost * (100 if index % 10 == 0 else 1)) for index, row in enumerate(rows)]
    prices = calibrate(rows, cache_bytes=CACHE)
    unseen = measured(20, 3)
    found = agreement([predicted_cost(row, prices, CACHE) for row in unseen], [row.cost for row in unseen])
    assert found.median_error < 0.05
    assert found.spearman > 0.99


def test_energy_in_any_unit():
    rows = [replace(row, cost=row.cost * 1e-9) for row in measured(12, 0)]
    assert [1e9 * each for each in calibrate(rows, cache_bytes=CACHE)] == pytest.approx(TRUE, rel=1e-3)


def test_no_price_falls_below_its_least():
    least = TRUE._replace(byte=2e-10, flop=1e-12, mixing_flop=1e-12, cache_byte=1e-11, launch=0.0)
    found = calibrate(measured(12, 0), cache_bytes=CACHE, least=least)
    assert found.byte == pytest.approx(2e-10)
    assert all(price >= bound * (1 - 1e-9) for price, bound in zip(found, least, strict=True))


def test_a_known_launch_stays():
    found = calibrate(measured(12, 0), cache_bytes=CACHE, launch=2e-5)
    assert found.launch == 2e-5
    assert found == pytest.approx(TRUE, rel=1e-3)


def test_what_nothing_was_seen_of_keeps_its_least():
    rows = [row for row in measured(12, 0) if row.kind == "prefill"]
    assert calibrate(rows, cache_bytes=CACHE, least=Prices(1e-12, 1e-12, 1e-12, 7e-12, 0.0)).cache_byte == 7e-12


@pytest.mark.parametrize("costs", [[], [0.0], [-1.0], [float("nan")], [float("inf")]])
def test_senseless_measurements(costs):
    rows = [replace(row, cost=cost) for row, cost in zip(measured(1, 0), costs, strict=False)]
    with pytest.raises(InputError, match="at least one measurement, each above 0"):
        calibrate(rows)


def test_a_profile_predicts_what_its_prices_do(smollm, round_device):
    use = Workload(1024, 2, 64, "fp16")
    prices = prices_of(round_device, "fp16")
    prefill, decode = (
        predicted_cost(Measurement(smollm, use, kind, 1.0), prices, round_device.cache_bytes)
        for kind in ("prefill", "decode")
    )
    found = hardware_metrics(smollm, round_device, use)
    assert (found["ttft_s"], found["decode_tokens_per_second"]) == pytest.approx((prefill, 1 / decode))


def test_forward_counts_every_logit(smollm):
    use = Workload(64, 2, 64, "fp32")
    prefill, forward = (pass_amounts(smollm, rates_with(TRUE, 1e12, use), kind) for kind in ("prefill", "forward"))
    # Two logits wait for the head's weights, 128 for its arithmetic.
    assert forward.flops - prefill.flops == pytest.approx(2 * 49152 * 576 * 128)
    assert prefill.bytes - forward.bytes == pytest.approx(4 * 49152 * 576)


def test_agreement_by_hand():
    found = agreement([1.0, 3.0, 2.0], [1.0, 2.0, 4.0])
    assert (found.n, found.median_error, found.largest_error, found.spearman) == (3, 0.5, 0.5, 0.5)
    with pytest.raises(InputError, match="two or more values"):
        agreement([1.0], [1.0])
