"""Settings and fixtures shared by all tests.

Property tests draw the same examples in every run and have no deadline.
"""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

# Test processes share the cores: with a thread for each core in each of them, linear algebra waits for threads that do
# not run, a thousand times as long as it computes. Read when numpy and torch are first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

from mimar.errors import ProviderError
from mimar.llm import fetch_default_model
from mimar.strategy import (
    ARMS,
    LINAS,
    LLMNAS,
    NSGA2,
    PELNAS,
    RZNAS,
    AdaptivePortfolio,
    Brief,
    Dialogue,
    Effort,
    LLMSearch,
    LocalSearch,
    NichedEvolution,
    OneShot,
    RandomSearch,
    RegularisedEvolution,
    ReinforcementLearning,
    RZNASMutation,
    Scalarised,
    Started,
    ZeroLM,
)
from mimar.testing import ScriptedLLM, layerdrop_problem

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=50, database=None)
settings.load_profile("repeatable")

BRIEF = Brief("at most 60M parameters", "A test bench.")


def unreliable_script(space):
    """Samples of the space, spoiled in a way that depends on the seed alone: illegal, repeated, prose, no answer."""

    def reply(messages, schema, seed):
        rng = np.random.default_rng(seed)
        if seed % 11 == 0:
            raise ProviderError("the provider answered HTTP 500")
        if seed % 5 == 0:
            return "A deeper network would do. \ud800"
        asked = (schema or {}).get("properties", {"candidates": {}})
        if "candidates" not in asked:  # a question for words
            return json.dumps({name: ["wider"] if rule["type"] == "array" else "wider" for name, rule in asked.items()})
        candidates = [space.to_json(space.sample(rng)) for _ in range(3)]
        return json.dumps({"candidates": [*candidates, candidates[0], {"num_layers": "many"}, None]})

    return reply


def guided(operator):
    """(problem, seed, LLM) → the search by one LLM operator."""
    return lambda problem, seed, llm: LLMSearch(problem, seed, operator(problem, llm))


def strategy_factories():
    """Every strategy by the name of its case: (problem, seed, LLM) → strategy; those without an LLM ignore it."""
    return {
        "random": lambda problem, seed, llm: RandomSearch(problem, seed),
        "evolution": lambda problem, seed, llm: RegularisedEvolution(problem, seed, population=12, entrants=4),
        "nsga2": lambda problem, seed, llm: NSGA2(problem, seed, population=8),
        "local": lambda problem, seed, llm: LocalSearch(problem, seed, starts=6, patience=3),
        "rl": lambda problem, seed, llm: ReinforcementLearning(problem, seed),
        "linas": lambda problem, seed, llm: LINAS(problem, seed, initial=8, effort=LITTLE),
        "scalarised": lambda problem, seed, llm: Scalarised(problem, seed),
        "niches": lambda problem, seed, llm: NichedEvolution(problem, seed, initial=8),
        "zerolm": guided(lambda problem, llm: ZeroLM(problem, llm, BRIEF, batch=5)),
        "one-shot": guided(lambda problem, llm: OneShot(problem, llm, BRIEF)),
        "dialogue": guided(lambda problem, llm: Dialogue(problem, llm, BRIEF)),
        "dialogue from a start": guided(
            lambda problem, llm: Dialogue(problem, llm, BRIEF, start=problem.space.sample(np.random.default_rng(0)))
        ),
        "rz-nas": guided(lambda problem, llm: RZNAS(problem, llm, BRIEF)),
        "rz-nas mutation": guided(lambda problem, llm: RZNASMutation(problem, llm, BRIEF)),
        "llm-nas": guided(lambda problem, llm: LLMNAS(problem, llm, BRIEF)),
        **{
            f"pel-nas {arm}": guided(lambda problem, llm, arm=arm: PELNAS(problem, llm, BRIEF, arm=arm)) for arm in ARMS
        },
        "adaptive": lambda problem, seed, llm: AdaptivePortfolio(problem, seed, initial=8),
        "adaptive with an LLM": lambda problem, seed, llm: AdaptivePortfolio.with_llm(problem, seed, llm, BRIEF),
        "started": lambda problem, seed, llm: Started(
            RandomSearch(problem, seed), problem, [problem.space.sample(np.random.default_rng(0))], seed
        ),
    }


STRATEGY_CASES = tuple(strategy_factories())


def pytest_generate_tests(metafunc):
    """A test that takes `strategy_case` runs once for each strategy."""
    if "strategy_case" in metafunc.fixturenames:
        metafunc.parametrize("strategy_case", STRATEGY_CASES)


LITTLE = Effort(3, 12, 12, 0.9)
"""Of inner searches, where what they find does not matter."""


@pytest.fixture
def little_effort(monkeypatch):
    """Portfolios search as little inside."""
    monkeypatch.setattr("mimar.strategy._portfolio.EFFORT", LITTLE)


@pytest.fixture
def make_strategy(strategy_case, little_effort):
    """(problem, seed, LLM) → a fresh strategy of this case."""
    return strategy_factories()[strategy_case]


@pytest.fixture
def unreliable_llm():
    """Space → a fresh LLM whose replies depend on the seed alone and are often spoiled."""
    return lambda space: ScriptedLLM(unreliable_script(space))


@pytest.fixture
def strategy_classes():
    """The classes that the cases cover."""
    problem = layerdrop_problem().problem
    return {type(make(problem, 0, ScriptedLLM([]))) for make in strategy_factories().values()}


@pytest.fixture
def check_golden(request):
    """(file, text): the text must equal the golden file beside the test; MIMAR_UPDATE_GOLDEN=1 writes it anew."""

    def check(name, text):
        path = request.path.parent / "golden" / name
        if os.environ.get("MIMAR_UPDATE_GOLDEN") == "1":
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        expected = path.read_text(encoding="utf-8") if path.exists() else ""
        assert text == expected, (
            f"{path.name} differs from what it was; where that is meant, write it anew with\n"
            f"  MIMAR_UPDATE_GOLDEN=1 pytest {request.node.nodeid}"
        )

    return check


@pytest.fixture
def study_of_version_1(tmp_path):
    """A search of six trials as the first version wrote it, from what `sqlite3.Connection.iterdump` told of it."""
    path = tmp_path / "version_1.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((Path(__file__).parent / "storage" / "version_1.sql").read_text(encoding="utf-8"))
        db.executescript("PRAGMA application_id = 0x6D696D61; PRAGMA user_version = 1; PRAGMA journal_mode = WAL;")
    return path


@pytest.fixture(scope="module")
def browser():
    """A real headless browser, driven through Playwright; for a module only, since its event loop runs meanwhile."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


@pytest.fixture(scope="session")
def default_model():
    """A small pretrained language model, as a GGUF file."""
    try:
        return fetch_default_model().path
    except ProviderError as error:
        pytest.skip(f"the default model cannot be downloaded: {error}")
