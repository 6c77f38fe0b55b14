"""Ray: two nodes share the work, a lost one loses nothing, and a bad candidate ends as in a process of this machine."""

import os
import time

import psutil
import pytest

from mimar.errors import InputError
from mimar.executor import Limits, RayExecutor

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "somewhere"])
def test_no_cluster_at_an_address_is_bad_input(address, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(InputError, match=f"no Ray cluster at {address}"):
        RayExecutor(address)


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core each, and this process connected to them."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, connect=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def where(seconds):
    time.sleep(seconds)
    return {"seconds": seconds}


def held_until(file):
    """Ends once that file is there."""
    while file is not None and not file.exists():
        time.sleep(0.02)
    return {"held": file is not None}


def test_both_nodes_work_at_once_and_results_come_as_they_finish(cluster, tmp_path):
    with RayExecutor() as executor:
        order = []
        for index, _ in executor.map(held_until, [tmp_path / "done", None, None]):
            order.append(index)
            if len(order) == 2:
                (tmp_path / "done").touch()
        assert order == [1, 2, 0]  # one node is busy with the first all the while
    assert ray.is_initialized()  # it was not the executor's to end


def test_a_lost_node_is_made_up_for(cluster, tmp_path):
    extra, lost = cluster.add_node(num_cpus=2), set()
    cluster.wait_for_nodes()
    found = {}
    with RayExecutor() as executor:
        for index, outcome in executor.map(told, [(tmp_path, number) for number in range(24)]):
            found[index] = outcome
            if not lost and (lost := running_on(extra, tmp_path) - set(found)):
                cluster.remove_node(extra, allow_graceful=False)
    assert [found[number].metrics for number in range(24)] == [{"number": number} for number in range(24)]
    assert lost
    for number in lost:
        assert len(list(tmp_path.glob(f"{number}-*"))) == 2  # it was begun twice


def told(task):
    folder, number = task
    (folder / f"{number}-{os.getpid()}").touch()
    time.sleep(0.5)
    (folder / f"done {number}").touch()
    return {"number": number}


def running_on(node, folder):
    """Numbers of the candidates that were begun by processes of the node which are still there."""
    raylet = node.all_processes["raylet"][0].process.pid
    below = {process.pid for process in psutil.Process(raylet).children(recursive=True)}
    begun = [file.name.split("-") for file in folder.glob("*-*")]
    done = {int(file.name.split()[1]) for file in folder.glob("done *")}
    return {int(number) for number, pid in begun if int(pid) in below} - done


def test_limits_give_the_reasons_of_a_process(cluster):
    with RayExecutor(limits=Limits(seconds=0.5)) as executor:
        outcomes = dict(executor.map(where, [60.0, 0.0]))
    assert outcomes[0].failure == "took longer than 0.5 s"
    assert outcomes[1].failure is None


def test_a_resource_decides_where(cluster):
    node = cluster.add_node(num_cpus=1, resources={"fast": 1})
    cluster.wait_for_nodes()
    with RayExecutor(resources={"CPU": 1, "fast": 1}) as executor:
        begin = time.perf_counter()
        assert len(list(executor.map(where, [0.4] * 3))) == 3
        assert time.perf_counter() - begin >= 1.2  # one after the other: only one node has it, and it has one
    cluster.remove_node(node)


def gpu_seen(seconds):
    begun = time.time()
    time.sleep(seconds)
    return {"gpu": float(os.environ["CUDA_VISIBLE_DEVICES"]), "begun": begun, "ended": time.time()}


def test_two_candidates_share_a_gpu_and_see_it(cluster):
    node = cluster.add_node(num_cpus=3, num_gpus=1)
    cluster.wait_for_nodes()
    with RayExecutor(resources={"CPU": 1, "GPU": 0.5}) as executor:
        outcomes = dict(executor.map(gpu_seen, [3.0] * 3))
    first, second, third = sorted((each.metrics for each in outcomes.values()), key=lambda found: found["begun"])
    assert [found["gpu"] for found in (first, second, third)] == [0.0] * 3
    assert second["begun"] < first["ended"] <= third["begun"]
    cluster.remove_node(node)


def test_a_node_that_cannot_load_mimar_is_a_sentence(cluster, monkeypatch):
    """As Ray tells of it: that a module is missing shows when the task comes to the node."""
    told = "The remote function failed to import on the worker. This may be because needed modules are missing"

    def unloadable(*_, **__):
        raise RuntimeError(told)

    executor = RayExecutor()
    monkeypatch.setattr(executor, "_task", ray.remote(unloadable))
    with pytest.raises(InputError, match="a node of the Ray cluster cannot load mimar"):
        list(executor.map(where, [0.0]))


def test_what_no_node_offers_is_said(cluster, caplog):
    RayExecutor(resources={"GPU": 64})
    assert "no node of the Ray cluster offers 64 GPU" in caplog.text
