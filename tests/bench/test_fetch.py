"""Downloads, from a server on this machine that answers like the publishers."""

import contextlib
import http.server
import json
import pickle
import threading

import numpy as np
import pytest

from mimar.bench import FETCHABLE, fetch, licence_of, load_truth
from mimar.errors import InputError, MimarError, UnknownNameError

SETTINGS = (
    "adaptive: true\nd_embed: -1\nd_inner:\n- 200\n- 300\nd_model: 64\ndiv_val: 1\ndropout: 0.1\n"
    "n_head:\n- 2\n- 4\nn_layer: 2\nn_token: 5000\ntgt_len: 192\n"
)
RESULTS = "config_0_j0:\n  test_ppl: 31.5\n  valid_ppl: 30.5\nconfig_12_j3:\n  test_ppl: 41.5\n  valid_ppl: 40.5\n"
HWGPT = [
    {
        "arch": {
            "sample_embed_dim": np.int64(64), "sample_n_layer": 2, "sample_bias": bias,
            "sample_n_head": [1, 2, 2], "sample_mlp_ratio": [2, 3, 4],
        },
        "perplexity": np.float64(25.5), "accuracy": 0.4,
    }
    for bias in ("True", "False")
]  # fmt: skip
CELL = "|nor_conv_1x1~0|+|skip_connect~0|avg_pool_3x3~1|+|nor_conv_1x1~0|none~1|nor_conv_1x1~2|"
LAYER = {
    "operation_type": "SA", "operation_parameter": "SDP", "num_operation_heads": 2, "feed_forward_dimension": 512,
    "num_feed_forward": 1,
}  # fmt: skip
ENCODER = {
    "id": 7, "scores": {"glue": 70.5},
    "hparams": {"model_hparam_overrides": {"hidden_size": 128, "nas_config": {"encoder_layers": [LAYER, LAYER]}}},
}  # fmt: skip
FILES = {
    "random_GPT2_wt103/ppl_summary.yaml": RESULTS.encode(),
    "random_GPT2_wt103/config_0/j0/model_config.yaml": SETTINGS.encode(),
    "random_GPT2_wt103/config_12/j3/model_config.yaml": SETTINGS.encode(),
    "arch_ppl_bench_s/ppl.pkl": pickle.dumps(HWGPT),
    "data/BERT_benchmark.json": json.dumps([ENCODER, ENCODER]).encode(),
    "benchmark/nasbench201_cifar10.json": json.dumps(
        {CELL: {"val_acc_200": 87.7, "test_acc_200": 90.3}, CELL.replace("none", "skip_connect"): {
            "val_acc_200": 80.5, "test_acc_200": 81.5}}
    ).encode(),
}  # fmt: skip


class Publisher(http.server.BaseHTTPRequestHandler):
    """Answers a path by the longest of `files` that it ends with."""

    files = FILES

    def do_GET(self):
        body = next((content for path, content in self.files.items() if self.path.endswith(path)), None)
        self.send_response(200 if body is not None else 404)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *args):
        """Silent."""


@contextlib.contextmanager
def publisher(files):
    handler = type("Handler", (Publisher,), {"files": files})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("lts_gpt2_wt103", [30.5, 40.5]),
        ("hwgpt_s", [25.5, 25.5]),
        ("flexibert_500", [70.5, 70.5]),
        ("nb201_cifar10", [87.7, 80.5]),
    ],
)
def test_what_is_fetched_can_be_loaded(tmp_path, name, labels):
    with publisher(FILES) as host:
        path = fetch(name, tmp_path / "new", host + "/")
        again = path.read_bytes()
        fetch(name, tmp_path / "new", host)
    assert path.read_bytes() == again
    assert [each.name for each in (tmp_path / "new").iterdir()] == [path.name]
    truth = load_truth(name, tmp_path / "new")
    assert truth.labels.tolist() == labels
    assert licence_of(name)


def test_what_was_published_is_read_right(tmp_path):
    with publisher(FILES) as host:
        for name in ("lts_gpt2_wt103", "hwgpt_s"):
            fetch(name, tmp_path, host)
    lts = load_truth("lts_gpt2_wt103", tmp_path).rows
    assert [row.id for row in lts] == ["config_0_j0", "config_12_j3"]
    assert (lts[0].subject.num_heads, lts[0].subject.intermediate_sizes) == ((2, 4), (200, 300))
    hwgpt = load_truth("hwgpt_s", tmp_path).rows
    assert [row.subject.bias for row in hwgpt] == [True, False]
    assert (hwgpt[0].subject.num_heads, hwgpt[0].subject.intermediate_sizes) == ((1, 2), (128, 192))


def test_a_pickle_that_would_run_something_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (print, ("run",))

    with publisher({"ppl.pkl": pickle.dumps([Trap()])}) as host, pytest.raises(InputError, match=r"builtins\.print"):
        fetch("hwgpt_s", tmp_path, host)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FETCHABLE)
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"<html>"])
def test_other_content_is_refused(tmp_path, name, body):
    with publisher(dict.fromkeys(FILES, body)) as host, pytest.raises(InputError):
        load_truth(str(fetch(name, tmp_path, host)))


def test_no_answer_is_explained(tmp_path):
    with publisher({}) as host, pytest.raises(MimarError, match="answered 404"):
        fetch("hwgpt_s", tmp_path, host)
    with pytest.raises(MimarError, match="needs a network"):
        fetch("hwgpt_s", tmp_path, host)  # nobody listens there any more
    with pytest.raises(UnknownNameError, match="hwgpt_s"):
        fetch("nope", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_answer_that_ends_early_is_not_kept(tmp_path):
    class Short(Publisher):
        def end_headers(self):
            self.send_header("Content-Length", "1000000")
            super().end_headers()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Short)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        with pytest.raises(MimarError, match="bytes early"):
            fetch("nb201_cifar10", tmp_path, f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
    assert list(tmp_path.iterdir()) == []


def test_a_mirror_is_an_address(tmp_path):
    with pytest.raises(InputError, match="https://host"):
        fetch("hwgpt_s", tmp_path, "example.org/mirror")
