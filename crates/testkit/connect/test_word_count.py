"""The word count of the notes: text from a TCP server, counts on the console, killed in the middle and started again."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

from support import BINARY, REPOSITORY, TIMEOUT_S

sys.path.insert(0, str(REPOSITORY / "crates/testkit/programs"))
from prepare import prepare  # noqa: E402

WORDS = ["w%d" % number for number in range(10)]


class LineServer:
    """Sends lines to whoever connects: `talk(connection)` is called on a thread per connection."""

    def __init__(self, talk):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.talk = talk
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            self.talk(connection)
        except OSError:
            pass  # The other side was killed.

    def close(self):
        self.listener.close()


class Console:
    """The tables that a program prints, as they come."""

    def __init__(self, process):
        self.lines = process.stdout

    def tables(self):
        """`(batch, {word: count})` of each batch, until the output ends."""
        batch, counts, rules = None, {}, 0
        for line in self.lines:
            if match := re.fullmatch(r"Batch: (\d+)\n", line):
                batch, counts, rules = int(match.group(1)), {}, 0
            elif batch is not None and line.startswith("+-"):
                rules += 1
                if rules == 3:
                    yield batch, counts
                    batch = None
            elif rules == 2:
                word, count = (cell.strip() for cell in line.strip().strip("|").split("|"))
                counts[word] = int(count)


class WordCount(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="millstream-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.calls = 0

    def talk(self, connection):
        """To the first caller, words without end; to the second, each word five times and an end."""
        self.calls += 1
        if self.calls == 1:
            pause = threading.Event()
            while True:
                for word in WORDS:
                    connection.sendall(b"%s and\n" % word.encode())
                pause.wait(0.01)
        connection.sendall("".join("%s\n" % word for word in WORDS * 5).encode() + b"end\n")
        threading.Event().wait(TIMEOUT_S)

    def start(self, port):
        path = self.folder / "word_count.py"
        if not path.exists():
            prepare("word_count", self.folder)
            text = path.read_text()
            self.assertEqual(text.count('"port", "9999"'), 1)
            path.write_text(text.replace('"port", "9999"', '"port", "%d"' % port))
        process = subprocess.Popen(
            [BINARY, "submit", path.name], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "MILLSTREAM_PYTHON": sys.executable},
        )
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        # No table at all within the time: end the wait for one.
        watch = threading.Timer(TIMEOUT_S, process.kill)
        watch.start()
        self.addCleanup(watch.cancel)
        return process

    def last_commit(self):
        return max(int(name) for name in os.listdir(self.folder / "chk-point-dir/commits") if name.isdigit())

    def test_counts_grow_and_survive_a_kill(self):
        server = LineServer(self.talk)
        self.addCleanup(server.close)

        process = self.start(server.port)
        printed = {}
        for batch, counts in Console(process).tables():
            printed[batch] = counts
            if sum(counts.values()) > 0 and len(printed) == 5:
                process.send_signal(signal.SIGKILL)
        self.assertEqual(process.wait(TIMEOUT_S), -signal.SIGKILL)
        batches = sorted(printed)
        self.assertGreaterEqual(len(batches), 5)
        self.assertEqual(batches, list(range(len(batches))), "each batch once")
        for before, after in zip(batches, batches[1:]):
            for word, count in printed[before].items():
                self.assertGreaterEqual(printed[after][word], count)
        self.assertGreater(sum(printed[batches[-1]].values()), sum(printed[batches[1]].values()))

        # What was committed counts, and nothing else: a socket cannot be asked again.
        committed = printed[self.last_commit()]
        expected = {word: committed.get(word, 0) + 5 for word in WORDS}
        expected.update({"and": committed["and"], "end": 1})

        process = self.start(server.port)
        first = None
        for batch, counts in Console(process).tables():
            first = batch if first is None else first
            if "end" in counts:
                break
        self.assertEqual(counts, expected)
        self.assertLessEqual(first, batches[-1] + 1, "goes on where it was")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(TIMEOUT_S), 130)


if __name__ == "__main__":
    unittest.main()
