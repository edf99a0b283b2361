#!/usr/bin/env bash
# Installs what a machine lacks to build, run and test Millstream. Safe to run again; does nothing where nothing is missing.
#
#   protoc      compiles the Spark Connect messages when the workspace is built
#   .venv       a Python environment with the official pyspark-client, in which programs run
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing_packages=()
command -v protoc >/dev/null || missing_packages+=(protobuf-compiler)
command -v cc >/dev/null || missing_packages+=(build-essential)
command -v python3 >/dev/null || missing_packages+=(python3 python3-venv)
if [ "${#missing_packages[@]}" -gt 0 ]; then
  command -v apt-get >/dev/null || { echo "please install: ${missing_packages[*]}" >&2; exit 1; }
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing_packages[@]}" >/dev/null
fi

command -v cargo >/dev/null || { echo "please install Rust 1.94 or newer (rustup)" >&2; exit 1; }

# The environment is made anew when the requirements change.
stamp=.venv/requirements.stamp
if ! cmp -s scripts/requirements.txt "$stamp" 2>/dev/null; then
  rm -rf .venv
  python3 -m venv .venv || {
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
    python3 -m venv .venv
  }
  .venv/bin/pip install --quiet --disable-pip-version-check -r scripts/requirements.txt
  cp scripts/requirements.txt "$stamp"
fi
