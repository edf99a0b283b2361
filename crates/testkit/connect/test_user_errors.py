"""Mistakes that everybody makes once: told as Spark tells them, with an exit code, and without losing anything."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

from support import BINARY, REPOSITORY, TIMEOUT_S

sys.path.insert(0, str(REPOSITORY / "crates/testkit/differential"))
import user_errors  # noqa: E402
from sink_log import committed_lines  # noqa: E402

HEADER = "from pyspark.sql import SparkSession\nspark = SparkSession.builder.master('local[2]').getOrCreate()\n"


def submit(folder, program, *before, **options):
    (folder / "app.py").write_text(HEADER + program)
    return subprocess.run(
        [BINARY, "submit", *before, "app.py"], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S,
        env={**os.environ, "MILLSTREAM_PYTHON": sys.executable}, **options,
    )


class Folders(unittest.TestCase):
    def folder(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="millstream-test-")).resolve()
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def goes_well(self, folder, program):
        done = submit(folder, program)
        self.assertEqual(done.returncode, 0, done.stderr)


class Mistakes(Folders):
    """Those of `user_errors.py`, against what Spark 4.3 said."""

    # What a checkpoint holds of keys is told in our words for types.
    OWN_WORDS = {"checkpoint_of_a_query_with_other_keys": "[STATE_STORE_KEY_SCHEMA_NOT_COMPATIBLE] Provided key schema does"}

    def outcome(self, mistake):
        folder = self.folder()
        user_errors.lay_out(folder)
        if mistake.before:
            self.goes_well(folder, mistake.before)
        return folder, submit(folder, mistake.program)

    def test_each_is_told_as_spark_tells_it_and_can_be_put_right(self):
        recorded = json.loads(user_errors.ANSWERS.read_text())
        self.assertEqual(sorted(recorded), sorted(user_errors.MISTAKES))
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            checked = pool.map(lambda name: (name, self.check(name, recorded[name])), recorded)
            wrong = {name: told for name, told in checked if told}
        self.assertEqual(wrong, {})

    def check(self, name, said):
        """Nothing if all is as it should be."""
        mistake = user_errors.MISTAKES[name]
        folder, done = self.outcome(mistake)
        told = user_errors.stable(done.stderr, folder)
        expected = self.OWN_WORDS.get(name, said["message"])
        if done.returncode != 1:
            return "exit code %d\n%s" % (done.returncode, done.stderr)
        # The traceback comes first, the error last.
        if expected not in told or said["class"] not in told:
            return "%s: %s\nis not in\n%s" % (said["class"], expected, told[-1500:])
        self.goes_well(folder, mistake.after)
        got = sorted(committed_lines(folder / "out"))
        return None if got == list(mistake.names) else "lines %s" % got


class OnTheWay(Folders):
    """What goes wrong without a mistake in the program."""

    def test_a_file_that_vanished_between_listing_and_reading_fails_the_batch_and_is_not_skipped(self):
        # As Spark does while it runs; a batch that runs again in Spark takes a vanished file for an empty one.
        folder = self.folder()
        user_errors.lay_out(folder)
        self.goes_well(folder, user_errors.NAMES)
        (folder / "in/b.json").write_text('{"name": "y", "v": 1}\n')
        killed = submit_killed(folder, user_errors.NAMES, "after-offset-write")
        self.assertIn("aborting the process", killed.stderr)
        (folder / "in/b.json").rename(folder / "b.json")
        gone = submit(folder, user_errors.NAMES)
        self.assertEqual(gone.returncode, 1)
        self.assertIn("[FAILED_READ_FILE.FILE_NOT_EXIST]", gone.stderr)
        self.assertIn("in/b.json", gone.stderr)
        self.assertEqual(committed_lines(folder / "out"), ["x"])
        (folder / "b.json").rename(folder / "in/b.json")
        self.goes_well(folder, user_errors.NAMES)
        self.assertEqual(committed_lines(folder / "out"), ["x", "y"])

    def test_a_port_in_use_is_told_with_what_to_do(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            done = subprocess.run(
                [BINARY, "server", "--port", str(port)], capture_output=True, text=True, timeout=TIMEOUT_S
            )
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, r"cannot listen on 127\.0\.0\.1:%d: the port is in use; .* another port" % port)


def submit_killed(folder, program, point):
    (folder / "app.py").write_text(HEADER + program)
    return subprocess.run(
        [BINARY, "submit", "app.py"], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S,
        env={**os.environ, "MILLSTREAM_PYTHON": sys.executable, "MILLSTREAM_FAULT": point},
    )


if __name__ == "__main__":
    unittest.main()
