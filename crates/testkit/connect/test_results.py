"""Results through the official client: show, collect, pandas, large results, large local data."""
import contextlib
import datetime
import decimal
import io
import unittest

from pyspark.sql import Row

from support import ServerTest


class Results(ServerTest):
    def test_show_prints_the_table(self):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            self.spark.range(3).show()
        self.assertEqual(printed.getvalue(), "+---+\n| id|\n+---+\n|  0|\n|  1|\n|  2|\n+---+\n\n")

    def test_rows_are_collected(self):
        self.assertEqual(self.spark.range(3).collect(), [Row(id=0), Row(id=1), Row(id=2)])
        self.assertEqual(self.spark.range(0).collect(), [])
        self.assertEqual(self.spark.range(10).count(), 10)
        self.assertEqual(self.spark.range(10).take(2), [Row(id=0), Row(id=1)])

    def test_large_results_arrive_whole(self):
        frame = self.spark.range(3_000_000).toPandas()
        self.assertEqual((len(frame), frame["id"].sum()), (3_000_000, 2_999_999 * 1_500_000))

    def test_results_are_iterated_over(self):
        numbers = [row.id for row in self.spark.range(100_000).toLocalIterator()]
        self.assertEqual(numbers, list(range(100_000)))

    def test_local_rows_come_back(self):
        row = (1, "x", 1.5, True, decimal.Decimal("1.20"), datetime.date(2026, 1, 2), None, [1, 2], b"\x00\x01")
        schema = "a int, b string, c double, d boolean, e decimal(10,2), f date, g string, h array<int>, i binary"
        collected = self.spark.createDataFrame([row], schema).collect()
        self.assertEqual([tuple(one) for one in collected], [row])

    def test_a_schema_is_told(self):
        frame = self.spark.createDataFrame([(1, "x")], "a int, b string")
        self.assertEqual(frame.dtypes, [("a", "int"), ("b", "string")])
        self.assertFalse(frame.isStreaming)

    def test_large_local_data_travel_as_artifacts(self):
        texts = ["%d:%s" % (number, "x" * 100) for number in range(50_000)]
        frame = self.spark.createDataFrame([(text,) for text in texts], "text string")
        self.assertEqual(frame.count(), 50_000)
        self.assertEqual([row.text for row in frame.collect()], texts)

    def test_views_and_sql_see_each_other(self):
        self.spark.range(5).createOrReplaceTempView("numbers")
        rows = self.spark.sql("select id * 2 as twice from numbers where id > :least order by id", {"least": 2})
        self.assertEqual([row.twice for row in rows.collect()], [6, 8])


if __name__ == "__main__":
    unittest.main()
