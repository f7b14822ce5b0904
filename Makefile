# Everything a newcomer needs: `make serve` and `make test`. `make help` lists the rest.

SHELL := /bin/bash
PORT ?= 8000
PYTHON ?= /usr/bin/python3

# Root's clone is often unreadable for the Apache user, so root builds where that user can read.
ifeq ($(shell id -u),0)
STATE ?= /var/cache/httpd-wsgi/$(shell echo '$(CURDIR)' | sha1sum | cut -c1-12)
else
STATE ?= $(CURDIR)/build/state
endif

VENV := $(STATE)/venv
BIN := $(VENV)/bin
SOURCES := $(wildcard apache/*.[ch] apache/*/*.[ch] src/*/*.[ch] src/httpd_wsgi/*.py src/httpd_wsgi/*/*.py src/httpd_wsgi/*/*/*.py src/httpd_wsgi/*/*/*/*.py) setup.py pyproject.toml
PACKAGES := apache2 apache2-dev python3-dev python3-venv build-essential curl
TEST_PACKAGES := litmus logrotate openssl patchelf strace valgrind wrk
LINT_PACKAGES := cppcheck
BENCH_PACKAGES := patchelf strace valgrind wrk
PEER_PACKAGES := libev-dev
DEB_PACKAGES := debhelper dh-python dpkg-dev lintian pybuild-plugin-pyproject python3-all-dev python3-setuptools
PICTURE_PACKAGES := graphviz
FUZZ_PACKAGES := clang libclang-rt-14-dev

.PHONY: help serve test check docs pictures links format lint asan tsan long bench peer instructions fuzz deb clean install

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

# $(call need,packages): installs what is missing as root, else says how.
define need
	@missing=""; for package in $(1); do dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then \
	    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends $$missing; } >&2; \
	  else echo "missing packages; run: sudo apt-get install$$missing" >&2; exit 1; fi; \
	fi
endef

$(VENV)/ready:
	$(call need,$(PACKAGES))
	@mkdir -p $(STATE)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade pip "setuptools>=64" wheel
	@touch $@

$(STATE)/installed: $(VENV)/ready $(SOURCES)
	@rm -rf $(STATE)/source && mkdir -p $(STATE)/source
	@cp -r apache src setup.py pyproject.toml MANIFEST.in README.md CHANGELOG.md LICENSE $(STATE)/source
	@find $(STATE)/source -name '*.so' -delete
	HTTPD_WSGI_PYTHON=$(BIN)/python $(BIN)/pip install -q --no-build-isolation --no-deps --force-reinstall $(STATE)/source
	@touch $@

install: $(STATE)/installed

serve: $(STATE)/installed ## build and serve the demonstration on http://127.0.0.1:8000/
	$(BIN)/httpd-wsgi serve --demo --port $(PORT)

$(STATE)/test-ready: $(STATE)/installed tests/requirements.txt
	$(call need,$(TEST_PACKAGES))
	$(BIN)/pip install -q -r tests/requirements.txt
	@touch $@

# A file of tests stays in one process, since its tests share servers. Much of a test is waiting, so there may be more processes than cores.
JOBS ?= 3
PYTEST = HTTPD_WSGI_STATE=$(STATE) PYTHONDONTWRITEBYTECODE=1 $(BIN)/python -m pytest -p no:cacheprovider
SEVERAL = -n $(JOBS) --dist loadfile --no-loadscope-reorder --durations=15

test: $(STATE)/test-ready ## build and run the tests (JOBS=1: in one process; ARGS='tests/test_http.py -k http2')
	$(PYTEST) $(SEVERAL) $(or $(ARGS),tests)

check: lint test ## what CI runs, nothing else

$(STATE)/lint-ready: $(VENV)/ready
	$(call need,$(LINT_PACKAGES))
	$(BIN)/pip install -q clang-format==18.1.8 lizard==1.24.3 mypy==1.14.0 ruff==0.8.4
	@touch $@

C_FILES = $(shell find apache src tests bench -name '*.[ch]')

format: $(STATE)/lint-ready ## lay out all C and Python as `make lint` wants it
	$(BIN)/clang-format -i $(C_FILES)
	$(BIN)/ruff format --no-cache -q .

lint: $(STATE)/lint-ready $(STATE)/installed docs ## formatters, ruff, mypy, lizard, cppcheck, -Werror build (by installing), conventions, generated pages
	$(BIN)/clang-format --dry-run -Werror $(C_FILES)
	$(BIN)/ruff format --no-cache --check -q .
	$(BIN)/ruff check --no-cache .
	$(BIN)/lizard --length 60 --CCN 20 --warnings_only apache src bench docs tests
	$(BIN)/python tests/conventions.py
	$(BIN)/mypy --cache-dir=$(STATE)/mypy
	$(BIN)/python docs/reference.py --check
	$(BIN)/python docs/errors.py --check
	$(BIN)/python docs/command.py --check
	$(BIN)/python docs/examples.py --check
	$(BIN)/python bench/figures.py --check
	cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,portability --suppress=unknownMacro \
	  --suppress=missingIncludeSystem --suppress=missingReturn --suppress=returnDanglingLifetime -Isrc -Iapache -DAPLOG_USE_MODULE\(x\)= apache src/runtime src/wire
	@! grep -nE 'Python\.h' apache/*.[ch] apache/*/*.[ch] || { echo 'a Python header in apache/' >&2; exit 1; }
	@! grep -nE '[<"](httpd|http_[a-z]+|ap_[a-z]+|apr[a-z_]*|util_[a-z]+)\.h[>"]' src/*/*.[ch] || { echo 'an httpd header in src/' >&2; exit 1; }

$(STATE)/docs-ready: $(VENV)/ready docs/requirements.txt
	$(BIN)/pip install -q -r docs/requirements.txt
	@touch $@

docs: $(STATE)/docs-ready ## the documentation as a site; a link that leads nowhere is an error
	@$(BIN)/python docs/pictures.py --check
	@$(BIN)/mkdocs build --site-dir $(STATE)/site 2>$(STATE)/docs.log || { grep -v '^INFO' $(STATE)/docs.log >&2; exit 1; }
	@echo $(STATE)/site/index.html

pictures: ## draw the pictures of the documentation again, by Graphviz, after a change of docs/pictures/*.dot
	$(call need,$(PICTURE_PACKAGES))
	$(PYTHON) -B docs/pictures.py

links: $(VENV)/ready ## fetch what the documentation links to elsewhere; needs a network, so it is no part of check
	$(BIN)/python docs/links.py

long: $(STATE)/test-ready ## the tests of load and endurance with their full numbers; half an hour
	HTTPD_WSGI_LONG=1 HTTPD_WSGI_STATE=$(STATE) PYTHONDONTWRITEBYTECODE=1 $(BIN)/python -m pytest -p no:cacheprovider \
	  tests/test_endurance.py tests/test_load.py tests/test_queue.py tests/test_queue_model.py tests/test_tokens.py $(ARGS)

$(STATE)/bench-ready: $(STATE)/installed bench/requirements.txt
	$(call need,$(BENCH_PACKAGES))
	$(BIN)/pip install -q -r bench/requirements.txt
	@touch $@

bench: $(STATE)/bench-ready ## compare with a C handler and with mod_wsgi (ARGS=--quick, --part NAME, --peers, --write-docs)
	$(if $(findstring peers,$(ARGS)),$(call need,$(PEER_PACKAGES)))
	$(BIN)/python bench/run.py --state $(STATE) $(ARGS)

peer: $(STATE)/test-ready ## the corpus of configurations with mod_wsgi from PyPI, for comparison
	@test -x $(STATE)/peer/bin/pip || $(PYTHON) -m venv $(STATE)/peer
	$(STATE)/peer/bin/pip install -q mod_wsgi
	HTTPD_WSGI_PEER=$$(echo $(STATE)/peer/lib/python3*/site-packages/mod_wsgi/server/mod_wsgi*.so) HTTPD_WSGI_STATE=$(STATE) \
	  PYTHONDONTWRITEBYTECODE=1 $(BIN)/python -m pytest -p no:cacheprovider tests/test_corpus.py $(ARGS)

instructions: $(STATE)/bench-ready ## instructions per request, counted by callgrind
	$(BIN)/python bench/instructions.py --state $(STATE) $(ARGS)

# httpd and Python themselves are not instrumented, so the sanitizers must be loaded before them. test_pythons.py builds the runtime for
# other Pythons itself, without sanitizers.
asan: ## the suite under AddressSanitizer and UBSan
	HTTPD_WSGI_SANITIZE=1 $(MAKE) STATE=$(STATE)/asan $(STATE)/asan/test-ready
	HTTPD_WSGI_SANITIZE=1 HTTPD_WSGI_STATE=$(STATE)/asan PYTHONDONTWRITEBYTECODE=1 PYTHONMALLOC=malloc \
	  ASAN_OPTIONS=detect_leaks=0:handle_segv=0:handle_abort=0:abort_on_error=1:allocator_may_return_null=1 \
	  LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	  $(STATE)/asan/venv/bin/python -m pytest -p no:cacheprovider $(SEVERAL) --ignore tests/test_pythons.py $(or $(ARGS),tests)

# Forks of processes with threads are Apache's way. A report does not change an exit status, since tests look at those; it fails its test.
TSAN_OPTIONS := die_after_fork=0:exitcode=0:report_signal_unsafe=0:history_size=4:ignore_noninstrumented_modules=1
SHARED := $(patsubst %,tests/test_%.py,connections flow interpreters limits load metrics queue wsgi)

tsan: ## tests of what the runtime's threads share, under ThreadSanitizer
	HTTPD_WSGI_SANITIZE=thread $(MAKE) STATE=$(STATE)/tsan $(STATE)/tsan/test-ready
	HTTPD_WSGI_SANITIZE=thread HTTPD_WSGI_STATE=$(STATE)/tsan PYTHONDONTWRITEBYTECODE=1 TSAN_OPTIONS=$(TSAN_OPTIONS) \
	  LD_PRELOAD="$$(gcc -print-file-name=libtsan.so)" \
	  $(STATE)/tsan/venv/bin/python -m pytest -p no:cacheprovider $(SEVERAL) $(or $(ARGS),$(SHARED))

FUZZ_SECONDS ?= 60
FUZZ := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/*.c))

$(STATE)/fuzz/%: tests/fuzz/fuzz_%.c $(wildcard src/wire/*.[ch])
	@command -v clang >/dev/null || $(MAKE) fuzz-packages
	@mkdir -p $(STATE)/fuzz
	clang -g -O1 -Wall -Wextra -Werror -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -Isrc $< src/wire/*.c -o $@

.PHONY: fuzz-packages
fuzz-packages:
	$(call need,$(FUZZ_PACKAGES))

fuzz: $(addprefix $(STATE)/fuzz/,$(FUZZ)) ## libFuzzer on frames, blocks and heads, FUZZ_SECONDS each
	@cd $(STATE)/fuzz && for target in $(FUZZ); do mkdir -p corpus-$$target && \
	  ./$$target -max_total_time=$(FUZZ_SECONDS) -timeout=5 -print_final_stats=1 corpus-$$target $(CURDIR)/tests/fuzz/seeds/$$target \
	  2>&1 | tail -n 12 && test $${PIPESTATUS[0]} = 0 || exit 1; done

DEB := $(STATE)/deb
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' src/httpd_wsgi/__init__.py)
PACKED := $(SOURCES) $(wildcard debian/* debian/*/* docs/*.md docs/*/*.md) $(shell find conf -type f)

# The Debian packages are built of the sdist, with the distribution's tools alone.
$(DEB)/built: $(PACKED)
	$(call need,$(PACKAGES) $(DEB_PACKAGES))
	@rm -rf $(DEB) && mkdir -p $(DEB)/source $(DEB)/httpd-wsgi-$(VERSION)
	@cp -r apache src conf docs tests setup.py pyproject.toml MANIFEST.in *.md LICENSE Makefile mkdocs.yml $(DEB)/source
	@cd $(DEB)/source && /usr/bin/python3 -c 'from setuptools import build_meta; build_meta.build_sdist("$(DEB)")' >/dev/null 2>$(DEB)/log || { cat $(DEB)/log >&2; exit 1; }
	@cd $(DEB) && rm -r source && mv *.tar.gz httpd-wsgi_$(VERSION).orig.tar.gz
	@tar xf $(DEB)/*.orig.tar.gz --strip-components=1 -C $(DEB)/httpd-wsgi-$(VERSION) && cp -r debian $(DEB)/httpd-wsgi-$(VERSION)/
	cd $(DEB)/httpd-wsgi-$(VERSION) && PATH=/usr/sbin:/usr/bin:/sbin:/bin dpkg-buildpackage -us -uc >$(DEB)/log 2>&1 || { tail -n 40 $(DEB)/log >&2; exit 1; }
	@rm -rf $(DEB)/httpd-wsgi-$(VERSION)
	@touch $@

deb: $(DEB)/built ## Debian packages; their names are all that `make -s deb` prints
	@ls $(DEB)/*.deb | grep -v dbgsym

clean: ## remove everything that was built
	rm -rf $(STATE) build dist src/*.egg-info
	find src -name '*.so' -delete -o -name __pycache__ -type d -prune -exec rm -rf {} +
