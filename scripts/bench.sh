#!/usr/bin/env bash
# Runs the benchmarks against Spark from PyPI, which gets an environment of its own. usage: bench.sh MILLSTREAM [options of bench/run.py]
set -euo pipefail
cd "$(dirname "$0")/.."
command -v java >/dev/null || { echo "Spark needs Java 17: please install a JRE" >&2; exit 1; }
if [ ! -x .venv-spark/bin/python ]; then
  python3 -m venv .venv-spark
  .venv-spark/bin/pip install --quiet --disable-pip-version-check pyspark==4.3.0
fi
millstream=$1
shift
exec .venv-spark/bin/python bench/run.py "$millstream" .venv-spark/bin/python "$@"
