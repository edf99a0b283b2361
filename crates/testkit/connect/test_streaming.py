"""Streaming queries through the official client: starting, handles, the manager, listeners."""
import json
import tempfile
import threading
import time
import unittest
import uuid

from pyspark.errors import AnalysisException, PySparkException, StreamingQueryException
from pyspark.sql.streaming.listener import StreamingQueryListener

from support import ServerTest

WAIT_S = 20


def eventually(condition):
    """Waits until `condition()` holds."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("did not come true within %d s" % WAIT_S)
        time.sleep(0.05)


class Recorder(StreamingQueryListener):
    def __init__(self):
        self.started, self.progress, self.idle, self.terminated = [], [], [], []

    def onQueryStarted(self, event):
        self.started.append(event)

    def onQueryProgress(self, event):
        self.progress.append(event)

    def onQueryIdle(self, event):
        self.idle.append(event)

    def onQueryTerminated(self, event):
        self.terminated.append(event)


class StreamingTest(ServerTest):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.TemporaryDirectory(prefix="millstream-test-")
        self.addCleanup(self.folder.cleanup)
        self.addCleanup(self.stop_queries)

    def stop_queries(self):
        for query in self.spark.streams.active:
            query.stop()

    def rate(self):
        return self.spark.readStream.format("rate").option("rowsPerSecond", 100).load()

    def start(self, frame=None, name=None, format="noop", **options):
        writer = (self.rate() if frame is None else frame).writeStream.format(format)
        for key, value in options.items():
            writer = writer.option(key, value)
        return (writer.queryName(name) if name else writer).start()

    def failing(self):
        return self.rate().selectExpr("1 / (value - value) as boom")


class Handles(StreamingTest):
    def test_a_query_runs_reports_and_stops(self):
        query = self.start(name="running")
        self.assertEqual(query.name, "running")
        self.assertTrue(query.isActive)
        eventually(lambda: query.lastProgress is not None and query.lastProgress["numInputRows"] > 0)
        self.assertEqual(query.lastProgress["id"], query.id)
        self.assertEqual(query.recentProgress[-1]["runId"], query.runId)
        self.assertIn("message", query.status)
        query.stop()
        self.assertFalse(query.isActive)
        self.assertIsNone(query.exception())
        self.assertTrue(query.awaitTermination(1))
        self.assertGreater(query.lastProgress["batchId"], -1)

    def test_a_query_without_a_name_has_none(self):
        self.assertIsNone(self.start().name)

    def test_rows_reach_the_memory_sink_before_process_all_available_returns(self):
        with open(self.folder.name + "/one.txt", "w") as file:
            file.write("a\nb\n")
        frame = self.spark.readStream.format("text").load(self.folder.name)
        query = self.start(frame, name="lines", format="memory")
        query.processAllAvailable()
        self.assertEqual([row.value for row in self.spark.table("lines").orderBy("value").collect()], ["a", "b"])

    def test_a_failed_query_tells_why_in_every_way(self):
        query = self.start(self.failing())
        with self.assertRaises(StreamingQueryException) as raised:
            query.awaitTermination(WAIT_S)
        self.assertIn("DIVIDE_BY_ZERO", str(raised.exception))
        self.assertEqual(raised.exception.getCondition(), "STREAM_FAILED")
        self.assertIn("DIVIDE_BY_ZERO", str(query.exception()))
        self.assertFalse(query.isActive)
        self.assertTrue(query.status["message"].startswith("Terminated with exception"))

    def test_waiting_has_a_timeout(self):
        query = self.start()
        began = time.monotonic()
        self.assertFalse(query.awaitTermination(0.3))
        self.assertLess(time.monotonic() - began, 5)

    def test_the_plan_is_explained(self):
        query = self.start()
        eventually(lambda: query.lastProgress is not None and query.lastProgress["numInputRows"] > 0)
        explained = query._execute_streaming_query_cmd
        from pyspark.sql.connect import proto

        command = proto.StreamingQueryCommand()
        command.explain.extended = True
        self.assertTrue(explained(command).explain.result.strip())

    def test_a_query_nobody_started_is_not_found(self):
        query = self.start()
        query._query_id, query._run_id = str(uuid.uuid4()), str(uuid.uuid4())
        with self.assertRaises(PySparkException) as raised:
            query.status
        self.assertIn("STREAMING_QUERY_NOT_FOUND", str(raised.exception))

    def test_what_is_wrong_with_a_query_fails_its_start(self):
        with self.assertRaises(AnalysisException):
            self.start(self.rate().select("nope"))
        with self.assertRaises(PySparkException) as raised:
            self.rate().writeStream.format("noop").outputMode("sometimes").start()
        self.assertEqual(raised.exception.getCondition(), "STREAMING_OUTPUT_MODE.INVALID")
        self.start(name="twice")
        with self.assertRaises(PySparkException) as raised:
            self.start(name="twice")
        self.assertIn("already active", str(raised.exception))

    def test_a_streaming_frame_cannot_be_collected(self):
        with self.assertRaises(AnalysisException) as raised:
            self.rate().collect()
        self.assertIn("writeStream.start()", str(raised.exception))

    def test_python_functions_on_output_are_refused_by_name(self):
        for start in (
            lambda: self.rate().writeStream.foreachBatch(lambda frame, batch: None).start(),
            lambda: self.rate().writeStream.foreach(lambda row: None).start(),
        ):
            with self.assertRaises(PySparkException) as raised:
                start()
            self.assertIn("UNSUPPORTED", str(raised.exception))
            self.assertIn("foreach", str(raised.exception))

    def test_a_query_ends_with_its_session(self):
        session = self.server.session()
        checkpoint = self.folder.name + "/checkpoint"
        reader = session.readStream.format("rate").load()
        query = reader.writeStream.format("noop").option("checkpointLocation", checkpoint).start()
        eventually(lambda: query.lastProgress is not None)
        session.stop()
        again = self.start(checkpointLocation=checkpoint)
        self.assertEqual(again.id, query.id)


class Streams(StreamingTest):
    def test_active_queries_are_listed_and_found(self):
        one, two = self.start(name="one"), self.start()
        self.assertEqual({query.id for query in self.spark.streams.active}, {one.id, two.id})
        self.assertEqual(self.spark.streams.get(one.id).name, "one")
        one.stop()
        self.assertEqual([query.id for query in self.spark.streams.active], [two.id])
        self.assertIsNone(self.spark.streams.get(one.id))
        other = self.server.session()
        self.assertEqual(other.streams.active, [])
        other.stop()

    def test_any_termination_is_awaited_until_reset(self):
        query = self.start()
        self.assertFalse(self.spark.streams.awaitAnyTermination(0.2))
        threading.Timer(0.3, query.stop).start()
        self.assertTrue(self.spark.streams.awaitAnyTermination(WAIT_S))
        self.assertTrue(self.spark.streams.awaitAnyTermination(WAIT_S))
        self.spark.streams.resetTerminated()
        self.assertFalse(self.spark.streams.awaitAnyTermination(0.2))

    def test_a_failure_is_thrown_by_any_termination(self):
        self.start(self.failing())
        with self.assertRaises(StreamingQueryException):
            self.spark.streams.awaitAnyTermination(WAIT_S)


class Listeners(StreamingTest):
    def test_listeners_see_a_querys_life(self):
        recorder = Recorder()
        self.spark.streams.addListener(recorder)
        query = self.start(name="watched")
        self.assertEqual([str(event.id) for event in recorder.started], [query.id])
        self.assertEqual(recorder.started[0].name, "watched")
        eventually(lambda: any(event.progress.numInputRows > 0 for event in recorder.progress))
        query.stop()
        eventually(lambda: recorder.terminated)
        self.assertEqual(str(recorder.terminated[0].runId), query.runId)
        self.assertIsNone(recorder.terminated[0].exception)
        progress = recorder.progress[0].progress
        self.assertEqual(progress.name, "watched")
        self.assertTrue(json.loads(progress.json)["sources"])
        self.spark.streams.removeListener(recorder)
        seen = len(recorder.started)
        self.start().stop()
        self.assertEqual(len(recorder.started), seen)

    def test_listeners_come_and_go(self):
        for _ in range(3):
            recorder = Recorder()
            self.spark.streams.addListener(recorder)
            self.start().stop()
            eventually(lambda: recorder.terminated)
            self.spark.streams.removeListener(recorder)

    def test_a_failure_is_told_with_its_class(self):
        recorder = Recorder()
        self.spark.streams.addListener(recorder)
        self.start(self.failing())
        eventually(lambda: recorder.terminated)
        self.assertIn("DIVIDE_BY_ZERO", recorder.terminated[0].exception)
        self.assertEqual(recorder.terminated[0].errorClassOnException, "DIVIDE_BY_ZERO")
        self.spark.streams.removeListener(recorder)

    def test_a_session_ends_although_somebody_listens(self):
        session = self.server.session()
        session.streams.addListener(Recorder())
        session.stop()


if __name__ == "__main__":
    unittest.main()
