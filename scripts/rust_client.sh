#!/usr/bin/env bash
# Builds the example of the official Rust client and runs it against a server. usage: rust_client.sh MILLSTREAM
set -euo pipefail
cd "$(dirname "$0")/.."
millstream=$(realpath "$1")
cargo build --locked --manifest-path examples/rust-client/Cargo.toml
scratch=$(mktemp -d)
server=
trap '[ -n "$server" ] && kill "$server" 2>/dev/null; rm -rf "$scratch"' EXIT
(cd "$scratch" && exec "$millstream" server --port 0 > server.out) &
server=$!
for _ in $(seq 100); do
  remote=$(sed -n 's/^listening on //p' "$scratch/server.out" 2>/dev/null || true)
  [ -n "$remote" ] && break
  sleep 0.1
done
[ -n "$remote" ] || { echo "the server did not start" >&2; exit 1; }
examples/rust-client/target/debug/millstream-rust-client "$remote"
