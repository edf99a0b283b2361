"""`millstream checkpoint explain`: what a program's query would meet, found out without an effect of the program."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from support import BINARY, TIMEOUT_S

# Two queries; before and between them the program writes whatever it can.
PROGRAM = """
import sys
from pyspark.sql import SparkSession, functions as F
aggregate, value = sys.argv[1:3]
spark = SparkSession.builder.getOrCreate()
spark.conf.set("spark.sql.shuffle.partitions", "2")
runs = spark.range(3)
runs.write.mode("append").json("written")
runs.write.mode("append").saveAsTable("runs")
spark.sql("insert into runs values (7)")
spark.sql("create table elsewhere (id bigint) using json location 'elsewhere'")
spark.sql("insert into elsewhere values (8)")
print("rows in the table:", spark.table("runs").count())

def read(folder):
    stream = spark.readStream.schema("t timestamp, k string, v bigint").csv(folder)
    return stream.withWatermark("t", "1 second")

def run(frame, name):
    writer = frame.writeStream.outputMode("append").format("json").option("checkpointLocation", name + "/checkpoint")
    query = writer.trigger(availableNow=True).start(name + "/output")
    query.processAllAvailable()
    query.awaitTermination()

clicks, buys = read("clicks"), read("buys").select(F.col("t").alias("u"), F.col("k").alias("l"), F.expr(value).alias("w"))
run(clicks.groupBy(F.window("t", "10 seconds")).agg(F.expr(aggregate).alias("n")), "counts")
runs.write.mode("append").json("written")
run(clicks.join(buys, F.expr("k = l AND u BETWEEN t AND t + INTERVAL 5 SECONDS")).select("k", "v", "w"), "joined")
runs.write.mode("append").json("written")
print("the end")
"""


class Explain(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="millstream-test-")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name).resolve()
        (self.root / "app.py").write_text(PROGRAM)
        for name in ("clicks", "buys"):
            (self.root / name).mkdir()
            (self.root / name / "0.csv").write_text("2024-01-01 00:00:00,a,1\n2024-01-01 00:00:20,b,2\n")
        self.ran = self.millstream("submit")
        self.assertEqual(self.ran.returncode, 0, self.ran.stderr)

    def millstream(self, *command, aggregate="count(*)", value="v"):
        environment = {**os.environ, "TZ": "UTC", "MILLSTREAM_PYTHON": sys.executable}
        return subprocess.run([BINARY, *command, "app.py", aggregate, value], cwd=self.root, capture_output=True,
                              text=True, timeout=TIMEOUT_S, env=environment)

    def files(self):
        return {path.relative_to(self.root): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}

    def explained(self, query, **changes):
        """What is told of a query, after seeing that nothing else happened."""
        before = self.files()
        explained = self.millstream("checkpoint", "explain", f"{query}/checkpoint", **changes)
        self.assertEqual(self.files(), before)
        self.assertNotIn("Traceback", explained.stderr)
        self.assertNotIn("the end", explained.stdout)
        return explained

    def test_a_program_is_run_up_to_the_query_and_nothing_that_it_writes_stays(self):
        explained = self.explained("counts")
        self.assertEqual(explained.returncode, 0, explained.stdout + explained.stderr)
        self.assertIn("it would go on", explained.stdout)
        # What goes into managed tables can be read again, elsewhere nothing is written.
        self.assertIn("rows in the table: 4\n", explained.stdout)
        self.assertIn("left out: a batch of json, written to written\n", explained.stdout)
        self.assertIn("elsewhere", explained.stdout)

    def test_a_query_behind_another_one_is_found(self):
        explained = self.explained("joined")
        self.assertEqual(explained.returncode, 0, explained.stdout + explained.stderr)
        self.assertIn("joined/checkpoint\n", explained.stdout)
        self.assertIn("it would go on", explained.stdout)

    def test_what_a_run_refuses_is_told(self):
        for query, changes, refusal in (("counts", {"aggregate": "sum(v)"}, "became sum(v)"),
                                        ("joined", {"value": "cast(v as double)"}, "value_schema=[w bigint] and new value_schema=[w double]")):
            with self.subTest(query):
                explained = self.explained(query, **changes)
                self.assertEqual(explained.returncode, 1, explained.stdout)
                self.assertIn("it would be refused", explained.stdout)
                self.assertIn(refusal, explained.stdout)
                for name in ("clicks", "buys"):
                    (self.root / name / f"{query}.csv").write_text("2024-01-01 00:00:40,c,3\n")
                ran = self.millstream("submit", **changes)
                self.assertNotEqual(ran.returncode, 0)
                self.assertIn(refusal, ran.stderr)

    def test_a_program_without_such_a_query_is_told_to_be_one(self):
        explained = self.millstream("checkpoint", "explain", "other/checkpoint")
        self.assertEqual(explained.returncode, 2)
        self.assertIn("started no query", explained.stdout)


if __name__ == "__main__":
    unittest.main()
