# Two commands matter: `make demo` and `make test`. Every other target is one line of something real.
SHELL := bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# All pinned packages; `make setup EXTRAS=serve` (or train) installs what one side needs, with the same pins.
PACKAGES = $(if $(EXTRAS),--constraint requirements.lock '.[$(EXTRAS)]',-r requirements.lock)
export PATH := $(CURDIR)/.venv/bin:$(PATH)

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/installed ## create .venv and install the pinned dependencies; EXTRAS=serve or EXTRAS=train: only what that needs

.venv/installed: requirements.lock pyproject.toml
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	{ command -v uv > /dev/null && uv pip install --python .venv $(PACKAGES); } || \
		{ echo "installing with pip (uv is absent or failed)"; pip install $(PACKAGES); }
	pip install --no-deps --editable .
	touch $@

demo: setup ## run the pipeline, release the bundle, ask the API a few questions; DATA=movielens or online_retail for real data, news or grocery for other made-up ones
	$(if $(DATA),recsys use $(DATA))
	recsys lock
	dvc repro
	recsys releases promote bundle
	python -m deploy.demo

# A test of real processes may meet a machine that stands still: a failed test gets one second try, and -rR names it.
RETRY = --reruns 1 -rR

test: setup ## run all tests but those of the benchmarks
	pytest -n 2 $(RETRY) --ignore=tests/benchmarks

test-benchmarks: setup ## run every benchmark at toy size
	pytest -n 2 $(RETRY) tests/benchmarks

test-chaos: setup ## break what the API depends on, two workers, PostgreSQL and Redis: what users notice
	pytest $(RETRY) -m chaos tests/chaos tests/benchmarks/rehearsal

lint: setup ## ruff, mypy, the import contracts, no copied code, and every file compiles
	ruff check . && ruff format --check . && mypy && lint-imports --no-logo
	pylint --recursive=y recsys serving benchmarks clients deploy docs template
	python -W error -m compileall -q -f recsys serving benchmarks clients deploy docs template tests

serve: setup ## serve the current release
	python -m serving.stores migrate
	python -m serving

notebooks: setup ## run the notebooks on the outputs of the last `dvc repro`, and keep their outputs in them
	python -m docs.notebooks

lab: setup ## open the notebooks in JupyterLab, which gets an environment of its own in build/lab the first time
	test -x build/lab/bin/jupyter-lab || { $(PYTHON) -m venv build/lab && build/lab/bin/pip install --quiet jupyterlab; }
	python -m ipykernel install --prefix build/lab > /dev/null
	build/lab/bin/jupyter-lab notebooks

experiments: setup ## `dvc exp show`, as wide as a screen: the settings that differ, and NDCG@10 of the variants that do
	@dvc exp show --csv --only-changed --drop 'metrics/(?!.*:ndcg@10$$)|Created|parent|State|Executor' \
		| sed '1s#metrics/offline/\|\.json:ndcg@10\|datasets\.[^.]*\.##g' \
		| awk -F, '{ for (i = 1; i <= NF && i <= 6; i++) printf "%-20s", substr($$i, length($$i) > 19 ? length($$i) - 18 : 1); print "" }'

dag: setup ## `dvc dag`, as wide as a screen: each stage and the stages that it reads from
	@dvc dag --dot --collapse-foreach-matrix | sed -n 's/^ *"\(.*\)" -> "\(.*\)";*$$/\2 \1/p' \
		| awk '{ from[$$1] = from[$$1] " " $$2 } END { for (stage in from) print stage " <-" from[stage] }' | sort

docs: setup ## build the site of the documents in build/site; strict, and nothing is loaded from the web
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict
	@echo "look at it: python -m http.server --bind 127.0.0.1 --directory build/site"

coverage: setup ## run all tests and count the lines and branches they run; writes the table of docs/quality.md
	python -m benchmarks.coverage

results: setup ## run every data set from scratch and write the results table of the README
	python -m benchmarks.results

figures: setup ## write the figures of README and docs from the results files
	python -m benchmarks.figures

check-figures: setup ## how many commits have touched the code that each results file measures since
	python -m benchmarks.figures.check

story: setup ## three phases of a simulated shop, each an A/B test through the API; writes docs/results/story.json
	python -m benchmarks.story

rehearsal: setup ## a month of a simulated shop with incidents and nobody to help, with the loop off, and quiet; writes docs/rehearsal.md
	python -m benchmarks.rehearsal

image: ## build the image of the API
	docker build --file deploy/Dockerfile --tag recsys-api .

image-test: setup ## build the image without Docker, on Debian as root; start it, ask it, stop it; writes its size, time to start and packages
	.ci/image

compose-test: setup ## start deploy/compose.yaml with podman-compose by the steps of docs/operations.md, on Debian as root; ask it, stop it
	.ci/compose

lock: ## resolve the ranges of pyproject.toml anew and write requirements.lock and requirements-spark.lock
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install $$(grep '^torch==' requirements.lock) --editable '.[train,serve,s3,traces,dev,docs]'
	{ head -1 requirements.lock; build/lock/bin/pip freeze --exclude-editable | sed 's/+cpu$$//'; } > build/requirements.lock
	mv build/requirements.lock requirements.lock
	build/lock/bin/python -m deploy.lock
	rm -rf build/lock-spark && $(PYTHON) -m venv build/lock-spark
	sed '/^pandas==/d' requirements.lock > build/constraints.txt
	build/lock-spark/bin/pip install --constraint build/constraints.txt --editable '.[train,serve,spark]' pytest
	{ head -1 requirements-spark.lock; build/lock-spark/bin/pip freeze --exclude-editable | sed 's/+cpu$$//'; } > build/requirements-spark.lock
	mv build/requirements-spark.lock requirements-spark.lock

clean: ## delete everything the pipeline made (not releases/, not .venv)
	rm -rf data models indexes bundle reports metrics build .dvc/cache .dvc/tmp

.PHONY: help setup demo test test-benchmarks test-chaos lint serve notebooks lab experiments dag docs coverage results figures check-figures story rehearsal image image-test compose-test lock clean
