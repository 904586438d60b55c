# `make demo` shows what privfl does; `make test` runs its tests. Both make .venv first.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
TOLD := setup.cfg pyproject.toml constraints.txt

# The work is split over processes; threads on top of them slow it down.
export OMP_NUM_THREADS := 1

.PHONY: demo test lint bench bench-he hero flower flower-simulation flower-faults image-search next-character fraud hospitals yolo

demo: .venv/privfl
	$(BIN)/privfl duel --minutes 3

test: .venv/privfl-test
	$(BIN)/pytest -rs --numprocesses auto --dist loadfile

lint: .venv/privfl-test
	$(BIN)/ruff check
	rm -rf build/types && mkdir -p build/types/privfl
	cd build/types/privfl && ln -s ../../../privfl/* ../../../defenses ../../../attacks . # as installed
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p privfl

bench: .venv/privfl-bench
	$(INSTALL) --no-deps pfl # it asks for an older dp-accounting, and runs with this one
	for script in benchmarks/[!_]*.py; do $(BIN)/python $$script || exit 1; done

bench-he: .venv/privfl
	$(BIN)/python benchmarks/he.py

# Five SuperNodes and a SuperLink on this machine, three rounds of a hardened pipeline.
flower: .venv/privfl-flower
	$(BIN)/python examples/flower_digits/deploy.py

flower-simulation: .venv/privfl-simulation
	$(BIN)/python examples/flower_digits/simulate.py

flower-faults: .venv/privfl-flower
	$(BIN)/python tests/flower/loopback_faults.py

# What federated learning is introduced with, plain and hardened: a table each, one to seven minutes.
image-search: .venv/privfl
	$(BIN)/python examples/image_search/run.py

next-character: .venv/privfl
	$(BIN)/python examples/next_character/run.py

fraud: .venv/privfl
	$(BIN)/python examples/fraud/run.py

hospitals: .venv/privfl-examples
	$(BIN)/python examples/hospitals/run.py

# Four clients train a detector of Ultralytics, plainly and hardened, in one to two minutes.
yolo: .venv/privfl-yolo
	$(BIN)/python examples/yolo_client/run.py

hero: .venv/privfl
	$(BIN)/privfl duel --hero docs/hero.png

# One file marks each set of packages as installed; it is made again when what it was told changes.
.venv/privfl: $(TOLD)
	$(PYTHON) -m venv .venv
	$(INSTALL) -e .
	touch $@

.venv/privfl-%: $(TOLD) .venv/privfl
	$(INSTALL) -e '.[$*]'
	touch $@
