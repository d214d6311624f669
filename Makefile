# make demo: see the whole idea working. make check: what is quick. make test: what a change must pass. make bench, make bench-running: docs/bench.md's tables.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_FLAGS ?=
COMMA := ,
# Tests on clusters and under Airflow wait half of the time. Three processes keep two processors busy all the time, and what is timed then misses its time.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadscope --durations=10

# The oldest release of distributed that the extra `dask` allows: about a year old.
DASK_OLD ?= 2025.9.1
OLD := .venv-dask-$(DASK_OLD)

# gssapi is compiled on installation: the tests of Kerberos run where its library's headers are (libkrb5-dev), and are skipped elsewhere.
KERBEROS := $(if $(shell command -v krb5-config),$(COMMA)kerberos)

.PHONY: install demo demo-stop release check test test-all test-matrix soak lint java-test coverage bench bench-running bench-environments bench-airflow bench-airflow-resume bench-airflow-spark bench-dask test-dask-old clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt hatch_build.py $(shell find java/src/main java/pom.xml -type f)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Knit needs Python 3.10 or newer (PYTHON=… make …)")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[airflow,dask,local,test$(KERBEROS)]'
	touch $@

demo: install
	$(BIN)/python tools/demo.py $(if $(KEEP),--keep)

demo-stop: install
	$(BIN)/python tools/demo.py --stop

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Before each commit, in less than 90 seconds: style, types, layers, and the unit tests that build no environment.
check: lint
	$(BIN)/python -m pytest -n 2 -q -m "not slow and not long" tests/unit --ignore tests/unit/environments $(PYTEST_FLAGS)

# The wheel and the sdist of a release, checked; nothing is uploaded.
release: install
	$(BIN)/python tools/release.py

java-test: install
	cd java && mvn -q -B -ntp verify$(if $(COVERAGE), -P coverage)

# COVERAGE=yes: measure which lines the tests execute, and print it at the end. Python 3.11 takes half as long again for it.
COVERAGE ?=
COVER := $(if $(COVERAGE),--cov --cov-report=)

coverage: install
	$(MAKE) java-test COVERAGE=yes
	$(PYTEST) -m "not slow" tests/unit --cov --cov-report= $(PYTEST_FLAGS)
	$(BIN)/python tools/coverage.py

# What has failed is tried again, alone and on new daemons: a machine that others use, too, stands still now and then.
# (1 is pytest's exit code for failed tests; a stopped or broken run is not repeated. Nor is one in which a test with the
# marker `race` failed: tests/conftest.py gives it another code, as a second run would hide what goes wrong now and then.)
RETRY ?= yes
test: install
	@$(MAKE) --no-print-directory -j2 -O lint java-test
	@$(PYTEST) -m "not slow" $(COVER) $(PYTEST_FLAGS) || { code=$$?; test $$code -eq 1 -a -n "$(RETRY)" || exit $$code; \
		echo "==> Once more, alone and on new daemons, what has failed:"; \
		$(BIN)/python -m pytest -m "not slow" --last-failed --last-failed-no-failures none $(if $(COVERAGE),$(COVER) --cov-append) $(PYTEST_FLAGS); }
	$(if $(COVERAGE),@$(BIN)/python tools/coverage.py)

test-all: install
	@$(MAKE) --no-print-directory -j2 -O lint java-test
	$(PYTEST) $(PYTEST_FLAGS)

# The main jobs on each kind of cluster, about five minutes for each; the results become the table of docs/cluster-kinds.md.
# CELL=kerberos/knox: only the cells with these values.
CELL ?=
test-matrix: install
	PYTHONPATH=. $(BIN)/python -m tests.matrix $(CELL)

# Applications of all kinds while daemons are killed at random, for so many minutes; a table at the end. SEED= repeats choices.
MINUTES ?= 30
soak: install
	$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

# Dask's tests against a distributed of a year ago, in an environment of its own (which the containers have, too).
test-dask-old:
	test -x $(OLD)/bin/python || $(PYTHON) -m venv $(OLD)
	grep -vE '^(dask|distributed)==' constraints.txt > $(OLD)/constraints.txt
	$(OLD)/bin/python -m pip install --quiet --disable-pip-version-check -c $(OLD)/constraints.txt -e '.[dask,local,test]' 'distributed==$(DASK_OLD)'
	$(OLD)/bin/python -m pytest -m "not slow" tests/cluster/test_dask.py tests/cluster/test_dask_options.py tests/cluster/test_dask_faults.py $(PYTEST_FLAGS)

bench: install
	$(BIN)/python bench/launch.py

bench-running: install
	$(BIN)/python bench/running.py $(BENCH_FLAGS)

bench-environments: install
	$(BIN)/python bench/environments.py

bench-airflow: install
	$(BIN)/python bench/airflow_wait.py

bench-airflow-spark: install
	PYTHONPATH=. $(BIN)/python bench/airflow_spark.py

bench-airflow-resume: install
	$(BIN)/python bench/airflow_resume.py $(BENCH_FLAGS)

bench-dask: install
	$(BIN)/python bench/dask.py $(BENCH_FLAGS)

clean:
	rm -rf $(VENV) .venv-dask-* java/target knit_core/jars build dist
