"""Operations as the protocol knows them: cut connections, reattachment, release, interruption."""
import time
import unittest
import uuid

import pyarrow

from support import RawTest


def rows(responses):
    """The numbers in a list of responses, checked for gaps."""
    numbers = []
    for response in responses:
        if response.HasField("arrow_batch"):
            batch = response.arrow_batch
            assert batch.start_offset == len(numbers), (batch.start_offset, len(numbers))
            with pyarrow.ipc.open_stream(batch.data) as reader:
                (read,) = list(reader)
            assert read.num_rows == batch.row_count
            numbers.extend(read.column(0).to_pylist())
    return numbers


class Operations(RawTest):
    def test_a_result_is_schema_then_batches_then_completion(self):
        responses = list(self.client.execute(self.client.range_plan(5)))
        self.assertTrue(responses[0].HasField("schema"))
        self.assertTrue(responses[-1].HasField("result_complete"))
        self.assertEqual(rows(responses), [0, 1, 2, 3, 4])
        self.assertEqual(len({response.response_id for response in responses}), len(responses))
        self.assertEqual(len({response.server_side_session_id for response in responses}), 1)

    def test_no_rows_still_make_a_batch(self):
        responses = list(self.client.execute(self.client.range_plan(0)))
        self.assertEqual(sum(response.HasField("arrow_batch") for response in responses), 1)
        self.assertEqual(rows(responses), [])

    def test_a_cut_stream_continues_after_the_last_response_seen(self):
        operation = str(uuid.uuid4())
        stream = self.client.execute(self.client.range_plan(1_000_000), operation)
        seen = [next(stream) for _ in range(2)]
        stream.cancel()
        rest = list(self.client.reattach(operation, seen[-1].response_id))
        self.assertEqual(sorted(rows(seen + rest)), list(range(1_000_000)))
        again = list(self.client.reattach(operation, seen[0].response_id))
        self.assertEqual([r.response_id for r in again], [r.response_id for r in [seen[1], *rest]])

    def test_a_stream_that_was_never_read_is_read_by_reattaching(self):
        operation = str(uuid.uuid4())
        self.client.execute(self.client.range_plan(10), operation).cancel()
        time.sleep(0.2)
        try:
            responses = list(self.client.reattach(operation))
        except Exception as error:
            # The request itself may have been cut off; the client then repeats it.
            self.assertIn("INVALID_HANDLE", error.details())
            responses = list(self.client.execute(self.client.range_plan(10), operation))
        self.assertEqual(rows(responses), list(range(10)))

    def test_a_repeated_request_is_the_same_operation(self):
        operation = str(uuid.uuid4())
        first = list(self.client.execute(self.client.range_plan(3), operation))
        second = list(self.client.execute(self.client.range_plan(3), operation))
        self.assertEqual([r.response_id for r in first], [r.response_id for r in second])
        other = lambda: list(self.client.execute(self.client.range_plan(4), operation))
        self.fails("INVALID_HANDLE.OPERATION_ALREADY_EXISTS", other)

    def test_the_newer_of_two_connections_wins(self):
        operation = str(uuid.uuid4())
        first = self.client.execute(self.client.range_plan(50_000_000), operation)
        seen = next(first)
        second = self.client.reattach(operation, seen.response_id)
        next(second)
        self.fails("INVALID_CURSOR.DISCONNECTED", lambda: list(first))
        second.cancel()
        self.client.release_all(operation)

    def test_released_responses_are_gone_and_the_rest_stays(self):
        operation = str(uuid.uuid4())
        responses = list(self.client.execute(self.client.range_plan(1_000_000), operation))
        answer = self.client.release_until(operation, responses[0].response_id)
        self.assertEqual(answer.operation_id, operation)
        rest = list(self.client.reattach(operation, responses[0].response_id))
        self.assertEqual(len(rest), len(responses) - 1)
        self.fails("INVALID_CURSOR.POSITION_NOT_AVAILABLE", lambda: list(self.client.reattach(operation)))
        unknown = lambda: list(self.client.reattach(operation, str(uuid.uuid4())))
        self.fails("INVALID_CURSOR.POSITION_NOT_FOUND", unknown)

    def test_a_released_operation_is_unknown_and_releasing_it_again_is_no_error(self):
        operation = str(uuid.uuid4())
        list(self.client.execute(self.client.range_plan(3), operation))
        self.assertEqual(self.client.release_all(operation).operation_id, operation)
        self.assertFalse(self.client.release_all(operation).HasField("operation_id"))
        gone = lambda: list(self.client.reattach(operation))
        self.fails("INVALID_HANDLE.OPERATION_NOT_FOUND", gone)

    def test_operations_that_are_not_reattachable_say_so(self):
        operation = str(uuid.uuid4())
        stream = self.client.execute(self.client.range_plan(50_000_000), operation, reattachable=False)
        next(stream)
        self.fails("INVALID_CURSOR.NOT_REATTACHABLE", lambda: list(self.client.reattach(operation)))
        stream.cancel()

    def test_stream_limits_cut_and_the_result_is_whole(self):
        self.client.set_conf("spark.connect.execute.reattachable.senderMaxStreamSize", "123")
        operation = str(uuid.uuid4())
        responses, connections = list(self.client.execute(self.client.range_plan(2_000_000), operation)), 1
        while not responses[-1].HasField("result_complete"):
            responses += self.client.reattach(operation, responses[-1].response_id)
            connections += 1
        self.assertGreater(connections, 3)
        self.assertEqual(rows(responses), list(range(2_000_000)))

    def test_interrupting_by_id_and_tag_ends_what_runs(self):
        large = self.client.range_plan(5_000_000_000)
        by_id, by_tag = str(uuid.uuid4()), str(uuid.uuid4())
        first = self.client.execute(large, by_id)
        second = self.client.execute(large, by_tag, tags=["slow"])
        next(first), next(second)
        self.assertEqual(self.client.interrupt(operation_id=by_id), [by_id])
        self.fails("OPERATION_CANCELED", lambda: list(first))
        self.assertEqual(self.client.interrupt(tag="other"), [])
        self.assertEqual(self.client.interrupt(tag="slow"), [by_tag])
        self.fails("OPERATION_CANCELED", lambda: list(second))
        self.assertEqual(self.client.interrupt(), [])
        self.assertEqual(self.client.interrupt(operation_id=""), [])
        self.assertEqual(self.client.status(by_id), {by_id: "OPERATION_STATE_CANCELLED"})

    def test_the_status_of_operations_is_known_until_after_their_release(self):
        operation, unknown = str(uuid.uuid4()), str(uuid.uuid4())
        list(self.client.execute(self.client.range_plan(3), operation))
        expected = {operation: "OPERATION_STATE_SUCCEEDED", unknown: "OPERATION_STATE_UNKNOWN"}
        self.assertEqual(self.client.status(operation, unknown), expected)
        self.client.release_all(operation)
        self.assertEqual(self.client.status(operation, unknown), expected)

    def test_ids_must_be_uuids(self):
        self.fails("INVALID_HANDLE.FORMAT", lambda: list(self.client.execute(self.client.range_plan(1), "one")))
        self.client.session_id = "two"
        self.fails("INVALID_HANDLE.FORMAT", lambda: list(self.client.execute(self.client.range_plan(1))))


if __name__ == "__main__":
    unittest.main()
