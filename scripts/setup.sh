#!/usr/bin/env bash
# Installs what a machine lacks to build, run and test Millstream. Safe to run again; does nothing where nothing is missing.
#
#   cc, protoc  compile C dependencies and the Spark Connect messages when the workspace is built
#   rustup      Rust, where there is none at all
#   .venv       a Python environment with the official pyspark-client, in which programs run
set -euo pipefail
cd "$(dirname "$0")/.."

rust_needed=1.94
python_needed=3.10
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

die() {
  echo "setup: $*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "neither root nor sudo: please have somebody run: $*"
  fi
}

install_packages() {
  command -v apt-get >/dev/null || die "please install: $*"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
}

# at_least 1.94 1.95.0: the second version is not older than the first.
at_least() {
  [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

# The messages import Google's own, which some distributions package apart from the compiler, and use `optional`.
protoc_works() {
  local folder code=0
  folder=$(mktemp -d)
  printf 'syntax = "proto3";\nimport "google/protobuf/any.proto";\nmessage M { optional google.protobuf.Any a = 1; }\n' \
    > "$folder/m.proto"
  "${PROTOC:-protoc}" -I "$folder" --descriptor_set_out=/dev/null "$folder/m.proto" 2>/dev/null || code=1
  rm -r "$folder"
  return $code
}

missing_packages=()
protoc_works || missing_packages+=(protobuf-compiler libprotobuf-dev)
command -v cc >/dev/null || missing_packages+=(build-essential)
command -v python3 >/dev/null || missing_packages+=(python3 python3-venv)
command -v cargo >/dev/null || command -v curl >/dev/null || missing_packages+=(curl ca-certificates)
if [ "${#missing_packages[@]}" -gt 0 ]; then
  install_packages "${missing_packages[@]}"
  protoc_works || die "$(command -v protoc) cannot compile proto3 with optional fields; 3.15 or newer is needed"
fi

if ! command -v cargo >/dev/null; then
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
    sh -s -- -y --quiet --profile minimal --component rustfmt --component clippy --no-modify-path
fi
rust=$(rustc --version | cut -d ' ' -f 2)
at_least "$rust_needed" "$rust" || die "Rust $rust is too old, $rust_needed or newer is needed: rustup update stable"

python=$(python3 -c 'import platform; print(platform.python_version())')
at_least "$python_needed" "$python" || die "Python $python is too old for pyspark-client, which needs $python_needed or newer"

# The environment is made anew when the requirements change, or when its Python is gone.
stamp=.venv/requirements.stamp
if ! cmp -s scripts/requirements.txt "$stamp" 2>/dev/null || ! .venv/bin/python -c '' 2>/dev/null; then
  # Debian has the module in a package of its own; what it leaves behind without it is of no use.
  rm -rf .venv
  if ! python3 -m venv .venv >/dev/null 2>&1; then
    install_packages python3-venv
    rm -rf .venv
    python3 -m venv .venv
  fi
  .venv/bin/pip install --quiet --disable-pip-version-check -r scripts/requirements.txt
  cp scripts/requirements.txt "$stamp"
fi
