"""A server per test class, sessions on it, and a raw gRPC client for what the official one hides."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import uuid

import grpc
from pyspark.sql import SparkSession
from pyspark.sql.connect import proto
from pyspark.sql.connect.proto.base_pb2_grpc import SparkConnectServiceStub

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
BINARY = os.environ.get("MILLSTREAM_BIN", str(REPOSITORY / "target/debug/millstream"))
TIMEOUT_S = 60


class Server:
    """`millstream server` on a free port."""

    def __init__(self, *arguments, port=0, env=None):
        self.folder = tempfile.TemporaryDirectory(prefix="millstream-test-")
        self.process = subprocess.Popen(
            [BINARY, "server", "--port", str(port), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder.name,
            env={**os.environ, **(env or {})},
        )
        line = self.process.stdout.readline()
        match = re.fullmatch(r"listening on (sc://.*)\n", line)
        if match is None:
            raise RuntimeError("no server: %r %s" % (line, self.process.stderr.read()))
        self.remote = match.group(1)

    @property
    def address(self):
        return self.remote[len("sc://"):]

    def session(self, **confs):
        builder = SparkSession.builder.remote(self.remote)
        for key, value in confs.items():
            builder = builder.config(key, value)
        return builder.create()

    def stop(self):
        self.process.terminate()
        code = self.process.wait(TIMEOUT_S)
        errors = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        self.folder.cleanup()
        return code, errors


class ServerTest(unittest.TestCase):
    """Tests against one server; every test gets a session of its own as `self.spark`."""

    server_arguments = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.server_arguments)

    @classmethod
    def tearDownClass(cls):
        code, errors = cls.server.stop()
        assert code == 0, errors
        assert "panicked" not in errors, errors

    def setUp(self):
        self.spark = self.server.session()
        self.addCleanup(self.spark.stop)

    def refused(self, kind, condition, action):
        """The error of `action`, which must be of this class and condition."""
        with self.assertRaises(kind) as raised:
            action()
        self.assertEqual(raised.exception.getCondition(), condition, str(raised.exception))
        return raised.exception


class RawClient:
    """Speaks the protocol by hand, as one session."""

    def __init__(self, server):
        self.channel = grpc.insecure_channel(server.address)
        self.stub = SparkConnectServiceStub(self.channel)
        self.session_id = str(uuid.uuid4())
        self.user = proto.UserContext(user_id="raw")

    def close(self):
        self.channel.close()

    def ids(self):
        return {"session_id": self.session_id, "user_context": self.user}

    def range_plan(self, end, start=0):
        plan = proto.Plan()
        plan.root.range.start = start
        plan.root.range.end = end
        plan.root.range.step = 1
        return plan

    def sql_plan(self, query):
        plan = proto.Plan()
        plan.root.sql.query = query
        return plan

    def execute(self, plan, operation_id=None, reattachable=True, tags=()):
        request = proto.ExecutePlanRequest(
            **self.ids(), plan=plan, operation_id=operation_id or str(uuid.uuid4()), tags=tags
        )
        if reattachable:
            request.request_options.add().reattach_options.reattachable = True
        return self.stub.ExecutePlan(request, timeout=TIMEOUT_S)

    def reattach(self, operation_id, last_response_id=None):
        request = proto.ReattachExecuteRequest(
            **self.ids(), operation_id=operation_id, last_response_id=last_response_id
        )
        return self.stub.ReattachExecute(request, timeout=TIMEOUT_S)

    def release_until(self, operation_id, response_id):
        request = proto.ReleaseExecuteRequest(**self.ids(), operation_id=operation_id)
        request.release_until.response_id = response_id
        return self.stub.ReleaseExecute(request)

    def release_all(self, operation_id):
        request = proto.ReleaseExecuteRequest(**self.ids(), operation_id=operation_id)
        request.release_all.SetInParent()
        return self.stub.ReleaseExecute(request)

    def interrupt(self, operation_id=None, tag=None):
        request = proto.InterruptRequest(**self.ids())
        if operation_id is not None:
            request.interrupt_type = proto.InterruptRequest.INTERRUPT_TYPE_OPERATION_ID
            request.operation_id = operation_id
        elif tag is not None:
            request.interrupt_type = proto.InterruptRequest.INTERRUPT_TYPE_TAG
            request.operation_tag = tag
        else:
            request.interrupt_type = proto.InterruptRequest.INTERRUPT_TYPE_ALL
        return list(self.stub.Interrupt(request).interrupted_ids)

    def status(self, *operation_ids):
        request = proto.GetStatusRequest(**self.ids())
        request.operation_status.operation_ids.extend(operation_ids)
        answer = self.stub.GetStatus(request)
        names = proto.GetStatusResponse.OperationStatus.OperationState.Name
        return {one.operation_id: names(one.state) for one in answer.operation_statuses}

    def set_conf(self, key, value):
        request = proto.ConfigRequest(**self.ids())
        request.operation.set.pairs.add(key=key, value=value)
        self.stub.Config(request)


class RawTest(ServerTest):
    """Tests by hand: `self.client`."""

    def setUp(self):
        self.client = RawClient(self.server)
        self.addCleanup(self.client.close)

    def fails(self, text, action):
        """The error of `action`, whose message contains `text`."""
        with self.assertRaises(grpc.RpcError) as raised:
            action()
        self.assertEqual(raised.exception.code(), grpc.StatusCode.INTERNAL)
        self.assertIn(text, raised.exception.details())
        return raised.exception


def run_program(text, *arguments, before=(), env=None, **options):
    """Runs a program with `millstream submit`; the finished process."""
    with tempfile.TemporaryDirectory(prefix="millstream-test-") as folder:
        app = pathlib.Path(folder, "app.py")
        app.write_text(text)
        return subprocess.run(
            [BINARY, "submit", *before, str(app), *arguments],
            capture_output=True,
            text=True,
            cwd=folder,
            timeout=TIMEOUT_S,
            env={**os.environ, "MILLSTREAM_PYTHON": sys.executable, **(env or {})},
            **options,
        )
