"""A join and windows over it, killed with SIGKILL at random moments: `random_kills.py` in short; `make nightly` has the long one."""
import pathlib
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

from support import BINARY, REPOSITORY

sys.path.insert(0, str(REPOSITORY / "crates/testkit/differential"))
import random_kills  # noqa: E402

KILLS = 10


class RandomKills(unittest.TestCase):
    """On each state store provider, against the undisturbed run and Spark's lines."""

    def test_the_output_is_that_of_the_undisturbed_run(self):
        self.assertTrue(random_kills.answer_file(random_kills.FILES_PER_KILL * KILLS).exists(), "Spark's lines")
        folder = tempfile.TemporaryDirectory(prefix="millstream-test-")
        self.addCleanup(folder.cleanup)
        root = pathlib.Path(folder.name).resolve()
        with ThreadPoolExecutor() as pool:
            runs = {
                provider: pool.submit(random_kills.compare, BINARY, root, provider, KILLS)
                for provider in random_kills.PROVIDERS
            }
        for provider, run in runs.items():
            with self.subTest(provider=provider):
                told = run.result()
                self.assertEqual(told.killed, KILLS)
                self.assertGreater(len(told.places), 1, told.told())


if __name__ == "__main__":
    unittest.main()
