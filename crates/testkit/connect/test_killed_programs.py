"""Programs that die at every fault point and start again: what they write, each reader reads exactly once."""
import pathlib
import resource
import sys
import tempfile

from support import BINARY, REPOSITORY, ServerTest

sys.path.insert(0, str(REPOSITORY / "crates/testkit/differential"))
import killed  # noqa: E402
from sink_log import committed_lines  # noqa: E402


class KilledPrograms(ServerTest):
    """Against the lines that Spark 4.3 wrote. The server of this test only reads the outputs."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Aborts are meant here: no core files.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def run_killed(self, name):
        folder = tempfile.TemporaryDirectory(prefix="millstream-test-")
        self.addCleanup(folder.cleanup)
        root = pathlib.Path(folder.name).resolve()
        program, expected = killed.PROGRAMS[name], killed.expected_lines(name)
        deaths = killed.run_matrix(BINARY, program, root)
        self.assertEqual(deaths.pop(""), 0)
        for point, times in deaths.items():
            self.assertGreater(times, 0, "no run passed %s" % point)
        for output in sorted(root.glob("*/output")):
            with self.subTest(point=output.parent.name):
                self.assertEqual(killed.difference(expected, committed_lines(output)), "")
                read = [row.value for row in self.spark.read.text(str(output)).collect()]
                self.assertEqual(killed.difference(expected, read), "", "as read by Millstream")
        return root, expected

    def test_invoices_are_flattened_once(self):
        root, expected = self.run_killed("invoices")
        self.assertEqual(committed_lines(root / "straight/output"), expected, "Spark's order")
        names = ["Invoice-set%d.json" % n for n in (1, 2, 3)]
        original = {name: (REPOSITORY / "crates/testkit/data/invoices" / name).read_bytes() for name in names}
        for folder in root.iterdir():
            archive = folder / "archive" / str(folder / "input").lstrip("/")
            kept = [name for name in names if (folder / "input" / name).exists()]
            moved = [name for name in names if (archive / name).exists()]
            self.assertEqual(sorted(kept + moved), names, folder.name)
            for name in names:
                where = folder / "input" if name in kept else archive
                self.assertEqual((where / name).read_bytes(), original[name], folder.name)
            if folder.name == "straight":
                # As in Spark, the last file stays: it is moved when the next batch is made.
                self.assertEqual(moved, names[:2])

    def test_windows_of_trades_are_closed_once(self):
        self.run_killed("trades")
