"""Writes the input of the stateful benchmarks: Parquet files of events in event-time order, slightly out of order within a file.

usage: generate_events.py FOLDER ROWS FILES [KEYS]

Columns: id (a number of its own for nine rows of ten, the number of an earlier row for the tenth), key, ts (1,000 rows per
second of event time, each up to 5 s early or late), value. Keys are uniform over 10,000; with KEYS every one of that many occurs:
the first KEYS rows run through them all, scattered, the rest draw from them. Needs pyarrow and numpy.
"""
import os
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

START_US = 1_700_000_000_000_000
ROWS_PER_SECOND = 1_000
JITTER_US = 5_000_000
# A prime, so that its multiples run through all keys.
STRIDE = 7_368_787


def main(folder, rows, files, keys):
    rng = np.random.default_rng(43)
    os.makedirs(folder, exist_ok=True)
    per_file = rows // files
    for number in range(files):
        numbers = np.arange(number * per_file, (number + 1) * per_file, dtype=np.int64)
        again = np.maximum(0, numbers - rng.integers(1, 2_000, per_file))
        ids = np.where(rng.random(per_file) < 0.9, numbers, again)
        # A duplicate is the same event, so it has the same time.
        times = START_US + ids * 1_000_000 // ROWS_PER_SECOND + (ids * 7_919) % (2 * JITTER_US) - JITTER_US
        drawn = rng.integers(0, keys or 10_000, per_file)
        key = np.where(numbers < keys, numbers * STRIDE % keys, drawn) if keys else drawn
        # Spark's reader tells instants from local times by the zone.
        table = pa.table(
            {
                "id": pa.array(ids),
                "key": pa.array(key, pa.int64()),
                "ts": pa.array(times, pa.timestamp("us", tz="UTC")),
                "value": pa.array(rng.integers(0, 1_000, per_file), pa.int64()),
            }
        )
        pq.write_table(table, f"{folder}/part-{number:05}.parquet")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 0)
