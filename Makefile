# Millstream. Everything a machine needs is installed by `setup`, which every target runs first.
CARGO_FLAGS := --workspace --profile ci --locked
MILLSTREAM := target/ci/millstream
export MILLSTREAM_PYTHON := $(CURDIR)/.venv/bin/python
# Where `setup` puts Rust on a machine that has none.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

.PHONY: setup build run test nightly lint bench rust-client

setup:
	@scripts/setup.sh

build: setup
	cargo build $(CARGO_FLAGS)

# The trades-window program of the examples on bundled data: prints its windows and ends.
run: build
	$(MILLSTREAM) submit examples/trades_window.py

# Not part of `test`: what it says depends on how new the toolchain is. Continuous integration runs both.
lint: setup
	cargo fmt --check
	cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings

test: build
	cargo fmt --check
	cargo test $(CARGO_FLAGS)
	scripts/test_python.sh $(MILLSTREAM)

# What takes too long for every change: more random programs, more kills, more cases of every property.
nightly: build
	PROPTEST_CASES=$${PROPTEST_CASES:-2560} cargo test $(CARGO_FLAGS)
	scripts/nightly.sh $(MILLSTREAM)

# Apache's own Rust client on a server of its own; builds that client first, which is no part of the workspace.
rust-client: build
	scripts/rust_client.sh $(MILLSTREAM)

# Against Spark from PyPI, in the same run; takes a release build and about half an hour.
bench: setup
	cargo build --workspace --release --locked
	scripts/bench.sh target/release/millstream
