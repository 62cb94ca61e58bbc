# Every target first makes .venv what requirements.lock says; that takes no time when nothing changed.
python := .venv/bin/python
uv := .venv/.uv/bin/uv

.DEFAULT_GOAL := help
.PHONY: simulate chaos bench bench-peers bench-memory bench-fairness help bootstrap demo test up down lint types check format lock clean

help:
	@echo "make demo     the main job on real RabbitMQ and Postgres, shown step by step; leaves nothing behind"
	@echo "make test     lint, types, import rules, dependency audit and every test with coverage"
	@echo "make chaos    everything is killed again and again under load; nothing may be lost: MINUTES=10 SEED=1"
	@echo "make simulate both sides in one process on virtual time, a history for each seed: SEEDS=1000 FROM=0"
	@echo "make up       the same system, kept running on a data directory; prints its URLs"
	@echo "make down     stops what make up started"
	@echo "make check    lint, types and the tests that need no services: under a minute"
	@echo "make lint     style and import rules"
	@echo "make types    mypy, strict"
	@echo "make bench    how fast it is, beside the best this machine can do: PARTS=... ROUNDS=3 QUICK=1"
	@echo "make bench-peers   the same saga on Restate, Taskiq, Celery and DBOS, beside ours: PEERS=... ROUNDS=3 QUICK=1"
	@echo "make bench-memory  does memory stay flat with 100,000 requests waiting? ten minutes"
	@echo "make bench-fairness  is a tenant with 10,000 requests in the way of quiet ones? seven minutes"
	@echo "make format   rewrites the code in the common style"
	@echo "make lock     renews requirements.lock from pyproject.toml"
	@echo "make clean    removes .venv and caches; data stays"

bootstrap:
	@sh deploy/local/bootstrap.sh

demo up down test: bootstrap
	@$(python) -m deploy.local $@

simulate: bootstrap
	@$(python) -m tests.simulation --seeds $(or $(SEEDS),1000) --from $(or $(FROM),0) $(if $(BUG),--bug "$(BUG)")

chaos: bootstrap
	@$(python) -m tests.chaos --minutes $(or $(MINUTES),10) --seed $(or $(SEED),1)

lint: bootstrap
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	.venv/bin/lint-imports

types: bootstrap
	$(python) -m mypy

check: lint types
	$(python) -m pytest tests/unit tests/contract

bench: bootstrap
	$(python) -m tests.benchmarks $(PARTS) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(QUICK),--quick)

bench-peers: bootstrap
	@sh tests/benchmarks/peers/install.sh || echo "bench-peers: not all peers could be installed"
	@$(python) -m tests.benchmarks.peers $(PEERS) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(QUICK),--quick)

bench-memory: bootstrap
	$(python) -m tests.benchmarks.memory

bench-fairness: bootstrap
	$(python) -m tests.benchmarks.fairness

format: bootstrap
	$(python) -m ruff check --fix --exit-zero .
	$(python) -m ruff format .

lock: bootstrap
	$(uv) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
		--group dev pyproject.toml --output-file requirements.lock

clean:
	rm -rf .venv .coverage .coverage.* htmlcov .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
