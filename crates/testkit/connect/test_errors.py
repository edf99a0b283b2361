"""Errors as the official client raises them."""
import unittest

import grpc
from pyspark.errors import AnalysisException, ParseException, PySparkException
from pyspark.errors.exceptions.connect import ArithmeticException
from pyspark.sql.connect import proto

from support import RawTest, ServerTest


class Errors(ServerTest):
    def test_an_unknown_column_is_named_with_suggestions(self):
        action = lambda: self.spark.range(3).select("nope").collect()
        error = self.refused(AnalysisException, "UNRESOLVED_COLUMN.WITH_SUGGESTION", action)
        self.assertEqual(error.getMessageParameters()["objectName"], "`nope`")
        self.assertEqual(error.getSqlState(), "42703")
        self.assertNotIn("JVM stacktrace", str(error))

    def test_text_that_does_not_parse_is_a_parse_error(self):
        action = lambda: self.spark.sql("selec 1").collect()
        self.refused(ParseException, "PARSE_SYNTAX_ERROR", action)

    def test_an_error_while_rows_are_read_ends_the_result(self):
        action = lambda: self.spark.sql("select 1 / (id - id) from range(3)").collect()
        self.refused(ArithmeticException, "DIVIDE_BY_ZERO", action)

    def test_the_place_in_the_sql_text_is_told(self):
        action = lambda: self.spark.sql("select 1 / (id - id) from range(3)").collect()
        error = self.refused(ArithmeticException, "DIVIDE_BY_ZERO", action)
        self.assertEqual(error.getQueryContext()[0].fragment(), "1 / (id - id)")

    def test_a_long_message_arrives_whole(self):
        name = "c" * 20_000
        with self.assertRaises(AnalysisException) as raised:
            self.spark.range(1).select(name).collect()
        self.assertIn(name, str(raised.exception))

    def test_what_does_not_exist_in_this_engine_is_named(self):
        from pyspark.sql.functions import udf

        with self.assertRaises(PySparkException) as raised:
            self.spark.range(1).select(udf(lambda x: x)("id")).collect()
        self.assertIn("UNSUPPORTED", str(raised.exception))
        self.assertIn("user-defined function", str(raised.exception))


class Plans(RawTest):
    def nested(self, levels):
        """`limit(limit(... range))` as bytes, since the message classes cannot be nested that deep."""
        relation = proto.Relation()
        relation.range.end = 5
        relation.range.step = 1
        inner = relation.SerializeToString()

        def field(number, payload):
            length, size = b"", len(payload)
            while size > 127:
                length += bytes([size & 127 | 128])
                size >>= 7
            return bytes([number << 3 | 2]) + length + bytes([size]) + payload

        for _ in range(levels):
            # Relation.limit = 8, Limit.input = 1, Limit.limit = 2
            inner = field(8, field(1, inner) + b"\x10\x02")
        plan = field(1, inner)
        return self.bare_request() + field(3, plan)

    def bare_request(self):
        return proto.ExecutePlanRequest(**self.client.ids()).SerializeToString()

    def execute(self, request):
        call = self.client.channel.unary_stream(
            "/spark.connect.SparkConnectService/ExecutePlan",
            response_deserializer=proto.ExecutePlanResponse.FromString,
        )
        return list(call(request, timeout=60))

    def test_a_thousand_chained_calls_run(self):
        responses = self.execute(self.nested(1000))
        self.assertTrue(responses[-1].HasField("result_complete"))
        batches = [response.arrow_batch for response in responses if response.HasField("arrow_batch")]
        self.assertEqual(sum(batch.row_count for batch in batches), 2)

    def test_a_runaway_plan_is_refused_and_the_server_lives(self):
        with self.assertRaises(grpc.RpcError) as raised:
            self.execute(self.nested(20_000))
        self.assertIn("nests deeper", raised.exception.details())
        self.assertTrue(self.execute(self.nested(1))[-1].HasField("result_complete"))

    def test_an_empty_plan_is_refused(self):
        self.fails("ExecutePlan: the request has no plan", lambda: self.execute(self.bare_request()))
        empty = proto.ExecutePlanRequest(**self.client.ids(), plan=proto.Plan())
        self.fails("INVALID_ONE_OF_FIELD_NOT_SET", lambda: self.execute(empty.SerializeToString()))


class DeepPlans(ServerTest):
    def test_a_loop_of_with_column_runs(self):
        frame = self.spark.range(1)
        for number in range(40):
            frame = frame.withColumn("c%d" % number, frame["id"] + number)
        self.assertEqual(frame.collect()[0]["c39"], 39)


if __name__ == "__main__":
    unittest.main()
