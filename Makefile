# Millstream. Everything a machine needs is installed by `setup`, which every target runs first.
CARGO_FLAGS := --workspace --profile ci --locked
MILLSTREAM := target/ci/millstream
export MILLSTREAM_PYTHON := $(CURDIR)/.venv/bin/python

.PHONY: setup build run test lint bench

setup:
	@scripts/setup.sh

build: setup
	cargo build $(CARGO_FLAGS)

# The trades-window program of the examples on bundled data: prints its windows and ends.
run: build
	$(MILLSTREAM) submit examples/trades_window.py

lint: setup
	cargo fmt --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

test: build
	cargo fmt --check
	cargo test $(CARGO_FLAGS)
	scripts/test_python.sh $(MILLSTREAM)

# Against Spark from PyPI, in the same run; takes a release build and about half an hour.
bench: setup
	cargo build --workspace --release --locked
	scripts/bench.sh target/release/millstream
