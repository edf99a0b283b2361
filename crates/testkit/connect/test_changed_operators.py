"""A program that changed between two runs: what goes on with the state of its checkpoint, and what is refused."""
import json
import pathlib
import tempfile

from pyspark.errors import StreamingQueryException
from pyspark.sql.functions import col, count, expr, session_window, window

from support import ServerTest

ALLOW = "spark.millstream.checkpoint.allowChangedOperators"


def row(name, minute, **fields):
    return json.dumps({f"{name}t": f"2024-01-01T10:{minute:02}:00Z", **fields})


class ChangedOperators(ServerTest):
    """Each test runs a program once, gives it more input, and goes on with another program."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="millstream-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.files, self.checkpoints = 0, 0
        self.spark.conf.set("spark.sql.shuffle.partitions", "2")

    def side(self, name, delay="10 minutes"):
        source = self.folder / name
        source.mkdir(exist_ok=True)
        events = self.spark.readStream.schema(f"{name}t timestamp, {name}k int, {name}v string").json(str(source))
        return events.withWatermark(f"{name}t", delay) if delay else events

    def feed(self, name, *rows):
        self.files += 1
        (self.folder / name).mkdir(exist_ok=True)
        (self.folder / name / f"{self.files}.json").write_text("\n".join(rows) + "\n")

    def run_once(self, frame, checkpoint, mode="append"):
        writer = frame.writeStream.format("noop").outputMode(mode).trigger(availableNow=True)
        query = writer.option("checkpointLocation", str(self.folder / checkpoint)).start()
        query.awaitTermination()
        return query

    def first(self, frame, mode="append"):
        """The first run, over one file a side; the checkpoint's name."""
        self.checkpoints += 1
        for name in "lr":
            self.feed(name, row(name, 0, **{f"{name}k": 1, f"{name}v": "a"}), row(name, 1, **{f"{name}k": 2, f"{name}v": "b"}))
        checkpoint = f"checkpoint-{self.checkpoints}"
        self.run_once(frame, checkpoint, mode)
        for name in "lr":
            self.feed(name, row(name, 2, **{f"{name}k": 1, f"{name}v": "c"}))
        return checkpoint

    def goes_on(self, before, after, mode="append"):
        checkpoint = self.first(before, mode)
        query = self.run_once(after, checkpoint, mode)
        operators = query.lastProgress["stateOperators"]
        self.assertGreater(sum(o["numRowsTotal"] for o in operators), 0)

    def is_refused(self, before, after, *changes, mode="append", other_columns=False):
        """The second program is refused with these words, leaves the checkpoint as it is, and runs when that is asked for;
        where its state has other columns, the stores refuse it all the same, and nobody is told to ask."""
        checkpoint = self.first(before, mode)
        with self.assertRaises(StreamingQueryException) as raised:
            self.run_once(after, checkpoint, mode)
        for told in changes:
            self.assertIn(told, str(raised.exception))
        self.assertEqual(ALLOW in str(raised.exception), not other_columns)
        self.run_once(before, checkpoint, mode)
        for name in "lr":
            self.feed(name, row(name, 3, **{f"{name}k": 2, f"{name}v": "d"}))
        self.spark.conf.set(ALLOW, "true")
        try:
            if other_columns:
                with self.assertRaises(StreamingQueryException) as raised:
                    self.run_once(after, checkpoint, mode)
                self.assertIn("STATE_STORE_VALUE_SCHEMA_NOT_COMPATIBLE", str(raised.exception))
                return
            self.run_once(after, checkpoint, mode)
        finally:
            self.spark.conf.unset(ALLOW)
        # What is allowed once is what the checkpoint knows from then on.
        self.run_once(after, checkpoint, mode)

    def joined(self, how="inner", on="lk = rk and rt between lt and lt + interval 5 minutes"):
        return self.side("l").join(self.side("r"), expr(on), how)

    # ---- joins

    def test_another_join_type_is_refused(self):
        self.is_refused(self.joined("leftSemi").select("lk"), self.joined("inner").select("lk"), "join type leftsemi became inner")

    def test_an_inner_join_that_becomes_an_outer_one_is_refused(self):
        before = self.first(self.joined())
        for how, name in [("leftOuter", "left"), ("rightOuter", "right"), ("fullOuter", "full")]:
            with self.assertRaises(StreamingQueryException) as raised:
                self.run_once(self.joined(how), before)
            self.assertIn(f"join type inner became {name}", str(raised.exception))
        self.run_once(self.joined(), before)

    def test_another_join_condition_is_refused(self):
        before, after = self.joined(), self.joined(on="lk = rk and rt between lt and lt + interval 9 minutes")
        self.is_refused(before, after, "condition on both")
        keys = "rt between lt and lt + interval 5 minutes and "
        self.is_refused(self.joined(on=keys + "lk = rk"), self.joined(on=keys + "lk = rk + 1"), "right key rk became",
                        other_columns=True)
        self.is_refused(self.joined(on=keys + "lk = rk"), self.joined(on=keys + "lk <=> rk"), "equality = became <=>")

    def test_a_filter_below_a_join_and_columns_above_it_may_change(self):
        narrow = self.side("l").where("lk > 0").join(self.side("r"), expr("lk = rk and rt between lt and lt + interval 5 minutes"))
        self.goes_on(self.joined(), narrow)
        self.goes_on(self.joined(), self.joined().withColumn("n", col("lk") + 1).withColumnRenamed("lk", "key"))

    # ---- aggregations

    def test_other_windows_are_refused(self):
        counted = lambda *of: self.side("l").groupBy(window("lt", *of)).count()
        self.is_refused(counted("10 minutes"), counted("20 minutes"),
                        "(stateStoreSave): grouping key window(lt, 10 minutes) became window(lt, 20 minutes). ")
        self.is_refused(counted("20 minutes", "10 minutes"), counted("20 minutes", "5 minutes"),
                        ": grouping key window(lt, 20 minutes, 10 minutes) became window(lt, 20 minutes, 5 minutes). ")
        self.is_refused(counted("20 minutes", "10 minutes"), counted("30 minutes", "10 minutes"), "grouping key")
        self.is_refused(counted("10 minutes"), counted("10 minutes", "10 minutes", "2 minutes"), "grouping key")

    def test_sliding_windows_that_no_aggregation_takes_over_are_told_apart(self):
        listed = lambda *of: self.side("l").groupBy(window("lt", *of)).agg(expr("first(lv) as f"))
        self.is_refused(listed("20 minutes", "10 minutes"), listed("20 minutes", "5 minutes"), "grouping key")
        seen = lambda *of: self.side("l").select(window("lt", *of), "lk").dropDuplicates(["window", "lk"])
        self.is_refused(seen("20 minutes", "10 minutes"), seen("40 minutes", "10 minutes"), "key")

    def test_another_aggregate_is_refused_and_another_name_is_not(self):
        counted = lambda what: self.side("l").groupBy("lk").agg(expr(what))
        self.is_refused(counted("count(*) as n"), counted("sum(lk) as n"), "aggregate", mode="update", other_columns=True)
        self.is_refused(counted("max(lv) as n"), counted("min(lv) as n"), "aggregate", mode="update")
        self.goes_on(counted("count(*) as n"), counted("count(*) as m"), "update")

    def test_another_key_of_the_same_type_is_refused(self):
        self.is_refused(
            self.side("l").groupBy("lk").count(), self.side("l").groupBy((col("lk") % 2).alias("lk")).count(), "grouping key lk became",
            mode="update"
        )

    def test_another_gap_between_sessions_is_refused(self):
        counted = lambda gap: self.side("l").groupBy("lk", session_window("lt", gap)).count()
        self.is_refused(counted("5 minutes"), counted("6 minutes"),
                        "session session_window(lt, 5 minutes) became session_window(lt, 6 minutes). ")
        dynamic = lambda size: expr(f"case when lv = 'a' then '{size} minutes' else '2 minutes' end")
        self.is_refused(counted(dynamic(5)), counted(dynamic(7)), "session session_window(lt, CASE WHEN")

    # ---- duplicates and limits

    def test_other_columns_of_duplicates_are_refused(self):
        source = lambda: self.side("l").selectExpr("lt", "lk", "lk + 1 as other", "lv")
        self.is_refused(source().dropDuplicates(["lk"]), source().dropDuplicates(["other"]), "key lk became")
        within = lambda column: source().dropDuplicatesWithinWatermark([column])
        self.is_refused(within("lk"), within("other"), "key lk became")

    def test_a_limit_may_change(self):
        self.goes_on(self.side("l").limit(3), self.side("l").limit(5))

    # ---- around the operators

    def test_watermark_delay_filters_and_projections_may_change(self):
        counted = lambda df: df.groupBy(window("lt", "10 minutes")).agg(count("*"))
        self.goes_on(counted(self.side("l")), counted(self.side("l", "5 minutes")))
        self.goes_on(counted(self.side("l")), counted(self.side("l").where("lk > 0").withColumn("x", expr("lk * 2"))))
        self.goes_on(self.side("l").dropDuplicates(["lk"]), self.side("l", None).dropDuplicates(["lk"]).select("lv"))
