"""State that is moved to another number of partitions between two runs of a program."""
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
from collections import Counter

from support import BINARY, REPOSITORY, TIMEOUT_S, ServerTest

sys.path.insert(0, str(REPOSITORY / "crates/testkit/differential"))
from sink_log import committed_lines  # noqa: E402

ROCKSDB = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
HDFS = "org.apache.spark.sql.execution.streaming.state.HDFSBackedStateStoreProvider"

# Windows of a stream, and each user's clicks joined with what the user bought: several operators, one with two stores.
PROGRAM = """
import sys
from pyspark.sql import SparkSession, functions as F
partitions, move, provider = sys.argv[1:4]
spark = SparkSession.builder.getOrCreate()
spark.conf.set("spark.sql.shuffle.partitions", partitions)
spark.conf.set("spark.millstream.checkpoint.repartitionState", move)
spark.conf.set("spark.sql.streaming.stateStore.providerClass", provider)

def read(folder):
    stream = spark.readStream.schema("t timestamp, k string, v bigint").option("maxFilesPerTrigger", 1).csv(folder)
    return stream.withWatermark("t", "1 second")

def run(frame, name):
    writer = frame.writeStream.outputMode("append").format("json").option("checkpointLocation", name + "/checkpoint")
    query = writer.trigger(availableNow=True).start(name + "/output")
    query.awaitTermination()

clicks, buys = read("clicks"), read("buys").select(F.col("t").alias("u"), F.col("k").alias("l"), F.col("v").alias("w"))
counts = clicks.dropDuplicatesWithinWatermark(["k", "v"]).groupBy(F.window("t", "10 seconds"), "k")
run(counts.agg(F.count("*").alias("n"), F.sum("v").alias("s")).select("window.start", "k", "n", "s"), "counts")
near = F.expr("k = l AND u BETWEEN t AND t + INTERVAL 5 SECONDS")
run(clicks.join(buys, near, "leftOuter").select("t", "k", "v", "u", "w"), "joined")
"""
QUERIES = ("counts", "joined")
USERS = ["u%d" % n for n in range(9)]
# Where a run dies that moves state.
POINTS = (
    "after-offset-write", "before-repartition", "snapshot-write", "mid-repartition", "after-repartition",
    "before-commit-log", "after-commit-log",
)


class World:
    """A folder with the program, and the files that have come so far."""

    def __init__(self, test, provider=HDFS):
        folder = tempfile.TemporaryDirectory(prefix="millstream-test-")
        test.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name).resolve()
        self.provider = provider
        self.files = 0
        (self.root / "app.py").write_text(PROGRAM)
        for name in ("clicks", "buys"):
            (self.root / name).mkdir()

    def more(self):
        """A file of clicks and one of buys, some seconds later than the ones before."""
        for name, late in (("clicks", 0), ("buys", 2)):
            rows = ["2024-01-01 00:00:%02d,%s,%d" % (self.files * 7 + n % 5 + late, user, n % 4 + self.files)
                    for n, user in enumerate(USERS) if name == "clicks" or n % 3]
            path = self.root / name / ("%d.csv" % self.files)
            path.write_text("\n".join(rows) + "\n")
            os.utime(path, (1_700_000_000 + self.files,) * 2)
        self.files += 1

    def submit(self, partitions, move, fault="", before=("submit",)):
        environment = {**os.environ, "TZ": "UTC", "MILLSTREAM_FAULT": fault, "MILLSTREAM_PYTHON": sys.executable}
        return subprocess.run(
            [BINARY, *before, "app.py", str(partitions), str(move).lower(), self.provider],
            cwd=self.root, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment,
        )

    def run(self, partitions, move):
        done = self.submit(partitions, move)
        if done.returncode:
            raise AssertionError(done.stderr)

    def checkpoint(self, command, name, *arguments):
        done = subprocess.run(
            [BINARY, "checkpoint", command, name + "/checkpoint", *map(str, arguments)],
            cwd=self.root, capture_output=True, text=True, timeout=TIMEOUT_S,
        )
        if done.returncode:
            raise AssertionError(done.stderr)
        return done.stdout

    def lines(self):
        return {name: Counter(committed_lines(self.root / name / "output")) for name in QUERIES}


class Repartition(ServerTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Aborts are meant here: no core files.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        cls.undisturbed = None

    def straight(self):
        """The output of five runs in two partitions."""
        if self.undisturbed is None:
            world = World(self)
            for _ in range(5):
                world.more()
                world.run(2, False)
            type(self).undisturbed = world.lines()
        self.assertGreater(sum(self.undisturbed["joined"].values()), 20)
        return self.undisturbed

    def test_moving_state_changes_no_answer(self):
        for provider in (HDFS, ROCKSDB):
            with self.subTest(provider=provider):
                world = World(self, provider)
                for partitions in (2, 7, 1, 3, 7):
                    world.more()
                    world.run(partitions, True)
                    for name in QUERIES:
                        shown = world.checkpoint("show", name)
                        self.assertIn("pinned      spark.sql.shuffle.partitions=%d\n" % partitions, shown)
                self.assertEqual(world.lines(), self.straight())

    def test_without_the_conf_the_number_of_the_checkpoint_stays(self):
        world = World(self)
        for partitions in (2, 7, 1, 3, 7):
            world.more()
            done = world.submit(partitions, False)
            self.assertEqual(done.returncode, 0, done.stderr)
            warned = "spark.sql.shuffle.partitions is pinned by the checkpoint" in done.stderr
            self.assertEqual(warned, partitions != 2, done.stderr)
            self.assertIn("shuffle.partitions=2\n", world.checkpoint("show", "counts"))
        self.assertEqual(world.lines(), self.straight())

    def test_a_program_that_dies_while_state_moves_goes_on(self):
        for index, point in enumerate(POINTS):
            with self.subTest(point=point):
                world = World(self, (HDFS, ROCKSDB)[index % 2])
                world.more()
                world.run(2, False)
                world.more()
                killed = world.submit(7, True, point)
                self.assertIn("fault point %s: aborting the process" % point, killed.stderr)
                # Whatever the next run says.
                partitions, move = ((2, False), (7, True), (3, True))[index % 3]
                world.run(partitions, move)
                for _ in range(3):
                    world.more()
                    world.run(partitions, move)
                self.assertEqual(world.lines(), self.straight())
                expected = partitions if move else 7
                self.assertIn("shuffle.partitions=%d\n" % expected, world.checkpoint("show", "counts"))

    def rows(self, world, operator=0, **options):
        reader = self.spark.read.format("statestore").option("operatorId", operator)
        for key, value in options.items():
            reader = reader.option(key, value)
        return reader.load(str(world.root / "counts/checkpoint")).collect()

    def test_state_reads_as_it_was_before_and_as_it_is_after(self):
        world = World(self)
        world.more()
        world.run(2, False)
        shown = world.checkpoint("show", "counts")
        self.assertNotIn("state moved", shown)
        before = self.rows(world, operator=1)
        batch = int(shown.split("next        batch ")[1].split(",")[0]) - 1
        world.run(7, True)
        moves = batch + 1
        self.assertIn("state moved from 2 to 7 partitions", world.checkpoint("show", "counts"))
        for operator in (0, 1):
            old = self.rows(world, operator, batchId=batch)
            new = self.rows(world, operator, batchId=moves)
            plain = lambda rows: sorted(str((row.key, row.value)) for row in rows)
            self.assertGreaterEqual(len(old), 3)
            self.assertEqual(plain(old), plain(new))
            self.assertLessEqual({row.partition_id for row in old}, {0, 1})
            self.assertGreater(max(row.partition_id for row in new), 1)
        self.assertEqual(sorted(map(str, before)), sorted(map(str, self.rows(world, 1, batchId=batch))))
        changes = self.rows(world, 1, readChangeFeed="true", changeStartBatchId=0, changeEndBatchId=moves)
        self.assertEqual({row.batch_id for row in changes}, set(range(batch + 1)) & {row.batch_id for row in changes})
        world.more()
        world.run(2, True)
        latest = max(int(p.name) for p in (world.root / "counts/checkpoint/commits").iterdir())
        changes = self.rows(world, 1, readChangeFeed="true", changeStartBatchId=moves, changeEndBatchId=latest)
        self.assertNotIn(moves, {row.batch_id for row in changes})
        self.assertTrue(changes)
        folder = str(world.root / "counts/checkpoint")
        metadata = self.spark.read.format("state-metadata").load(folder)
        self.assertEqual({row.numPartitions for row in metadata.collect()}, {2})
        metadata = self.spark.read.format("state-metadata").option("batchId", moves).load(folder)
        self.assertEqual({row.numPartitions for row in metadata.collect()}, {7})
        self.assertIn("10 stores of partitions that state was in before", world.checkpoint("state", "counts"))

    def test_a_rewind_to_before_the_move_gives_the_old_partitions(self):
        world = World(self)
        world.more()
        world.run(2, False)
        batch = max(int(p.name) for p in (world.root / "counts/checkpoint/commits").iterdir())
        before = sorted(map(str, self.rows(world, 1)))
        told = world.submit(7, True, before=("checkpoint", "explain", "counts/checkpoint")).stdout
        self.assertIn("state would be moved from 2 to 7 partitions, in a batch of its own", told)
        world.more()
        world.run(7, True)
        world.checkpoint("rewind", "counts", "--to-batch", batch)
        self.assertIn("shuffle.partitions=2\n", world.checkpoint("show", "counts"))
        self.assertEqual(before, sorted(map(str, self.rows(world, 1))))
        self.assertNotIn("not in use", world.checkpoint("state", "counts"))
        # To the batch of the move itself, too.
        world.run(7, True)
        world.checkpoint("rewind", "counts", "--to-batch", batch + 1)
        self.assertIn("shuffle.partitions=7\n", world.checkpoint("show", "counts"))
        world.run(7, False)

    def test_what_cannot_be_is_refused(self):
        for value, condition in (("0", "REQUIREMENT"), ("seven", "TYPE_MISMATCH")):
            with self.assertRaisesRegex(Exception, "INVALID_CONF_VALUE." + condition):
                self.spark.conf.set("spark.sql.shuffle.partitions", value)
        world = World(self)
        world.more()
        done = world.submit(2, "perhaps")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("spark.millstream.checkpoint.repartitionState", done.stderr)
