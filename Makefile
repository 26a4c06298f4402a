# make run       set up and serve http://127.0.0.1:8888/ (PORT=8888)
# make test      set up and run every test
# make soak      an hour of everything at once, with kills (SOAK=60 for a minute)
# make test-postgresql  what depends on the engine, on a PostgreSQL server of its own
# make check     format, lint and types; changes nothing
# make format    format the code
# make languages put new messages into the catalogues, and compile them
# make shell     a Python prompt with the models on people.db (DATABASE=...)
# make sample    make people.db.sample again
# make restore   put a backup (FILE=...) in the place of people.db
# make picture   take the pictures in README.rst again
# make bench     measure beside a bare handler and peers, draw docs/speed-*.svg; needs wrk and gcc

PYTHON ?= python3
PORT ?= 8888
BIN = .venv/bin
# Two processes for two cores, which share no test file. Where there are more: make test WORKERS=8
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope
NODE_TEST = axe-core@4 oidc-provider@9
NODE_BENCH = express@5 better-sqlite3@12 @node-rs/argon2@2 ws@8

.PHONY: run test test-postgresql soak check format languages shell sample restore picture bench

run: .venv/run
	exec $(BIN)/python app.py --port=$(PORT)

test: .venv/test
	$(PYTEST)

soak: .venv/test
	SOAK=$(or $(SOAK),3600) $(BIN)/python -m pytest -s checks/test_soak.py

test-postgresql: .venv/test
	$(PYTEST) --engine=postgresql -m engine

check: .venv/test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: .venv/test
	$(BIN)/ruff format

languages: .venv/test
	$(BIN)/python -m tools.catalogue

shell: .venv/run
	$(BIN)/python -m tools.shell $(or $(DATABASE),people.db)

sample: .venv/run
	$(BIN)/python -m tools.make_sample people.db.sample

restore:
	@test -f "$(FILE)" || { echo 'Say which: make restore FILE=...'; exit 1; }
	@! $(BIN)/python -c 'import fcntl; fcntl.flock(open("people.db.lock", "ab"), fcntl.LOCK_EX | fcntl.LOCK_NB)' \
	    2>&1 | grep -q Error || { echo 'First stop the process that uses people.db.'; exit 1; }
	aside=people.db.before-$$(date +%Y%m%d-%H%M%S); for end in "" -wal; do \
	    if [ -f "people.db$$end" ]; then mv "people.db$$end" "$$aside$$end"; fi; done
	rm -f people.db-shm
	cp "$(FILE)" people.db

picture: .venv/test
	$(BIN)/python -m tools.pictures docs

bench: .venv/bench
	$(BIN)/python -m bench.run
	$(BIN)/python -m bench.pictures

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'Python 3.11 or newer is needed: make PYTHON=python3.12 ...'; exit 1; }
	$(PYTHON) -m venv .venv || \
	    { rm -rf .venv; echo 'On Debian and Ubuntu: apt install python3-venv'; exit 1; }

.venv/run: requirements.txt .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/bench: bench/requirements.txt .venv/test
	$(BIN)/pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	if command -v npm; then npm install --silent --no-save --prefix .venv $(NODE_TEST) $(NODE_BENCH); fi
	touch $@

.venv/test: checks/requirements.txt requirements.txt .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r checks/requirements.txt
	if command -v npm; then npm install --silent --no-save --prefix .venv $(NODE_TEST); fi
	touch $@
