PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := demo

# Results that others published, where they lie beside the checkout; without them some tests are skipped.
ifneq ($(wildcard ../shared/data/truth),)
export MIMAR_DATA ?= $(abspath ../shared/data)
endif

.PHONY: setup demo test quick check format docs tables bench drill clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	@# A CPU build of torch keeps gigabytes of CUDA away; where none is offered the regular build is taken.
	$(BIN)/python -m pip install -q "torch==2.13.0+cpu" 2>/dev/null || $(BIN)/python -m pip install -q "torch==2.13.0"
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[providers,gpu,predictors,bench,gguf,onnx,ray]" --group dev
	$(BIN)/python -m pip check
	touch $(READY)

# A language model for this machine: searched with a small local LLM, reported, exported, checked.
demo: $(READY)
	rm -rf $(DEMO) && mkdir $(DEMO)
	$(BIN)/mimar get-llm
	$(BIN)/mimar design --max-params 30M --min-tokens-per-second 40 --ctx 512 --device this --llm local \
		--trials 120 --seed 0 --study $(DEMO)/study.db
	$(BIN)/mimar report $(DEMO)/study.db --out $(DEMO)/report.html
	$(BIN)/mimar report $(DEMO)/study.db --out $(DEMO)/front.svg
	$(BIN)/mimar export $(DEMO)/study.db $(DEMO)/best-json --to json
	$(BIN)/mimar export $(DEMO)/study.db $(DEMO)/best-code --to code
	$(BIN)/mimar export $(DEMO)/study.db $(DEMO)/best-hf --to hf
	@echo "open $(DEMO)/report.html; the JSON, the code and the checkpoint lie beside it"

test: $(READY)
	$(BIN)/python -m pytest -n 2 -q

# The fast tests only, for the inner loop.
quick: $(READY)
	$(BIN)/python -m pytest -n 2 -q -m "not slow"

check: $(READY)
	$(BIN)/ruff format --check src tests benchmarks docs drills
	$(BIN)/ruff check src tests benchmarks docs drills
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format src tests benchmarks docs drills
	$(BIN)/ruff check --fix src tests benchmarks docs drills

docs: $(READY)
	$(BIN)/python docs/generate.py

# All scores and predictors on all published results, and what their readings rest on; takes hours on two cores.
tables: $(READY)
	$(BIN)/python docs/tables.py
	$(BIN)/python docs/label_noise.py
	$(BIN)/python docs/last_layer.py

bench: $(READY)
	$(BIN)/python benchmarks/run.py

# Killed, damaged and lost on purpose, a hundred times and more, which the tests do a few times; then the speed of two Ray
# nodes, and a study of a hundred thousand trials.
drill: $(READY)
	$(BIN)/python drills/run.py --kills 100
	MIMAR_FUZZ=10000 $(BIN)/python -m pytest -n 2 -q tests/fuzz
	$(BIN)/python benchmarks/run.py executors
	$(BIN)/python benchmarks/load.py

clean:
	rm -rf $(VENV) $(DEMO) .pytest_cache .ruff_cache .hypothesis
