#!/usr/bin/env bash
# The tests that need a Python client: the gRPC surface, the programs of the examples, and the differential suite.
# usage: test_python.sh MILLSTREAM
set -euo pipefail
cd "$(dirname "$0")/.."
millstream=$(realpath "$1")
python=$(realpath -s "${MILLSTREAM_PYTHON:-.venv/bin/python}")
source scripts/server.sh

echo "== the official client against the server"
MILLSTREAM_BIN=$millstream MILLSTREAM_PYTHON=$python "$python" crates/testkit/connect/run.py

echo "== the example program"
MILLSTREAM_PYTHON=$python "$millstream" submit examples/trades_window.py > "$scratch/trades.txt"
diff -u examples/trades_window.expected "$scratch/trades.txt"

start_server "$millstream"

echo "== checkpoints begun by Spark 4.3, resumed by Millstream"
for query in ${RESUME_QUERIES:-json parquet}; do
  for crash in "" --crash; do
    dir=$scratch/resume-$query$crash
    "$python" crates/testkit/differential/resume.py thaw --query "$query" --dir "$dir"
    "$python" crates/testkit/differential/resume.py second --query "$query" --dir "$dir" --remote "$remote" $crash
    "$python" crates/testkit/differential/resume.py check --query "$query" --dir "$dir"
  done
done

echo "== differential suite against the recorded answers of Spark 4.3"
"$python" crates/testkit/differential/replay.py --remote "$remote" --timeout 90 --diff-lines 20 --jobs 3 \
  --known crates/testkit/differential/known_differences.txt
