"""Sessions: configuration, identity, release."""
import unittest
import uuid
import warnings

import grpc
from pyspark.errors import AnalysisException, SparkNoSuchElementException
from pyspark.sql.connect import proto

from support import RawTest, Server, ServerTest


class Configuration(ServerTest):
    server_arguments = ("--conf", "spark.mine.level=server", "--conf", "spark.sql.shuffle.partitions=7")

    def test_the_version_is_that_of_the_protocol(self):
        self.assertEqual(self.spark.version, "4.2.0")

    def test_values_are_of_the_session_over_the_server_over_sparks_default(self):
        conf = self.spark.conf
        self.assertEqual(conf.get("spark.sql.shuffle.partitions"), "7")
        self.assertEqual(conf.get("spark.sql.ansi.enabled"), "true")
        conf.set("spark.mine.level", "session")
        self.assertEqual(conf.get("spark.mine.level"), "session")
        other = self.server.session()
        self.assertEqual(other.conf.get("spark.mine.level"), "server")
        other.stop()
        conf.unset("spark.mine.level")
        self.assertEqual(conf.get("spark.mine.level"), "server")

    def test_every_key_that_the_client_reads_has_a_value(self):
        for key in (
            "spark.sql.session.timeZone",
            "spark.sql.timestampType",
            "spark.sql.session.localRelationCacheThreshold",
            "spark.sql.session.localRelationChunkSizeRows",
            "spark.sql.execution.pandas.structHandlingMode",
            "spark.sql.execution.arrow.maxRecordsPerBatch",
            "spark.sql.execution.pythonUDF.arrow.enabled",
            "spark.sql.repl.eagerEval.enabled",
            "spark.connect.session.planCompression.threshold",
        ):
            self.assertTrue(self.spark.conf.get(key), key)

    def test_an_unknown_key_is_refused_unless_there_is_a_default(self):
        get = self.spark.conf.get
        self.refused(SparkNoSuchElementException, "SQL_CONF_NOT_FOUND", lambda: get("spark.nope"))
        self.assertEqual(get("spark.nope", "mine"), "mine")
        self.assertIsNone(get("spark.nope", None))

    def test_static_keys_are_refused_and_only_warned_of_by_the_builder(self):
        key = "spark.sql.warehouse.dir"
        static = lambda: self.spark.conf.set(key, "/x")
        self.refused(AnalysisException, "CANNOT_MODIFY_STATIC_CONFIG", static)
        self.assertFalse(self.spark.conf.isModifiable(key))
        self.assertTrue(self.spark.conf.isModifiable("spark.sql.ansi.enabled"))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            session = self.server.session(**{key: "/x", "spark.app.name": "words"})
        self.assertTrue(any("CANNOT_MODIFY_STATIC_CONFIG" in str(one.message) for one in caught))
        self.assertEqual(session.conf.get("spark.app.name"), "words")
        session.stop()

    def test_all_values_are_listed(self):
        self.spark.conf.set("spark.mine.other", "1")
        values = self.spark.conf.getAll
        self.assertEqual((values["spark.mine.level"], values["spark.mine.other"]), ("server", "1"))


class Identity(RawTest):
    def version(self, observed=None):
        request = proto.AnalyzePlanRequest(**self.client.ids(), client_observed_server_side_session_id=observed)
        request.spark_version.SetInParent()
        return self.client.stub.AnalyzePlan(request)

    def test_a_session_keeps_its_server_side_id(self):
        first = self.version()
        self.assertEqual(first.session_id, self.client.session_id)
        second = self.version(first.server_side_session_id)
        self.assertEqual(first.server_side_session_id, second.server_side_session_id)

    def test_a_session_of_another_server_is_told_that_it_changed(self):
        self.fails("INVALID_HANDLE.SESSION_CHANGED", lambda: self.version(str(uuid.uuid4())))
        self.version()
        self.fails("INVALID_HANDLE.SESSION_CHANGED", lambda: self.version(str(uuid.uuid4())))

    def release(self, allow_reconnect=False):
        request = proto.ReleaseSessionRequest(**self.client.ids(), allow_reconnect=allow_reconnect)
        return self.client.stub.ReleaseSession(request)

    def test_a_released_session_is_closed_for_good(self):
        before = self.version().server_side_session_id
        self.assertEqual(self.release().server_side_session_id, before)
        self.fails("INVALID_HANDLE.SESSION_CLOSED", self.version)
        self.release()

    def test_a_session_released_for_reconnection_comes_back_empty(self):
        self.client.set_conf("spark.mine", "1")
        before = self.version().server_side_session_id
        self.release(allow_reconnect=True)
        self.assertNotEqual(self.version().server_side_session_id, before)

    def test_reattaching_needs_a_session(self):
        self.fails("INVALID_HANDLE.SESSION_NOT_FOUND", lambda: list(self.client.reattach(str(uuid.uuid4()))))

    def test_a_clone_has_its_own_configuration_from_then_on(self):
        self.client.set_conf("spark.mine", "before")
        original = self.client.session_id
        request = proto.CloneSessionRequest(**self.client.ids())
        clone = self.client.stub.CloneSession(request)
        self.client.set_conf("spark.mine", "after")

        def value(session_id):
            self.client.session_id = session_id
            request = proto.ConfigRequest(**self.client.ids())
            request.operation.get_option.keys.append("spark.mine")
            return self.client.stub.Config(request).pairs[0].value

        self.assertEqual(value(clone.new_session_id), "before")
        self.assertEqual(value(original), "after")
        taken = proto.CloneSessionRequest(**self.client.ids(), new_session_id=clone.new_session_id)
        refusal = lambda: self.client.stub.CloneSession(taken)
        self.fails("INVALID_CLONE_SESSION_REQUEST.TARGET_SESSION_ID_ALREADY_EXISTS", refusal)


class Starting(unittest.TestCase):
    def test_a_port_in_use_is_named(self):
        server = Server()
        port = server.address.rpartition(":")[2]
        try:
            with self.assertRaises(RuntimeError) as raised:
                Server(port=port)
            self.assertIn("127.0.0.1:%s: the port is in use" % port, str(raised.exception))
        finally:
            server.stop()

    def test_a_cluster_master_is_refused(self):
        with self.assertRaises(RuntimeError) as raised:
            Server("--master", "yarn")
        self.assertIn('master "yarn" is not possible', str(raised.exception))

    def test_a_server_that_is_terminated_ends_its_clients_calls(self):
        server = Server()
        session = server.session()
        session.range(1).collect()
        code, _ = server.stop()
        self.assertEqual(code, 0)
        with self.assertRaises(grpc.RpcError):
            grpc.insecure_channel(server.address).unary_unary("/x/y")(b"", timeout=2)


if __name__ == "__main__":
    unittest.main()
