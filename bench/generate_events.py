"""Writes the input of the stateful benchmarks: Parquet files of events in event-time order, slightly out of order within a file.

usage: generate_events.py FOLDER ROWS FILES [KEYS]

Columns: id (a number of its own for nine rows of ten, the number of an earlier row for the tenth), key (uniform over KEYS,
10,000 by default), ts (1,000 rows per second of event time, each up to 5 s early or late), value. Needs pyarrow.
"""
import datetime
import os
import random
import sys

import pyarrow as pa
import pyarrow.parquet as pq

START_US = 1_700_000_000_000_000
ROWS_PER_SECOND = 1_000
JITTER_US = 5_000_000


def main(folder, rows, files, keys):
    rng = random.Random(43)
    os.makedirs(folder, exist_ok=True)
    per_file = rows // files
    for number in range(files):
        first = number * per_file
        numbers = range(first, first + per_file)
        ids = [n if rng.random() < 0.9 else max(0, n - rng.randrange(1, 2_000)) for n in numbers]
        # A duplicate is the same event, so it has the same time.
        times = [START_US + i * 1_000_000 // ROWS_PER_SECOND + (i * 7_919) % (2 * JITTER_US) - JITTER_US for i in ids]
        # Spark's reader tells instants from local times by the zone.
        table = pa.table(
            {
                "id": pa.array(ids, pa.int64()),
                "key": pa.array([rng.randrange(keys) for _ in numbers], pa.int64()),
                "ts": pa.array(times, pa.timestamp("us", tz="UTC")),
                "value": pa.array([rng.randrange(1_000) for _ in numbers], pa.int64()),
            }
        )
        pq.write_table(table, f"{folder}/part-{number:05}.parquet")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 10_000)
