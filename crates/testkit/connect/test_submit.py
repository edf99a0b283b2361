"""`millstream submit`: unmodified programs, their exit codes, signals and surroundings."""
import json
import os
import pathlib
import pty
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from support import BINARY, REPOSITORY, TIMEOUT_S, run_program

sys.path.insert(0, str(REPOSITORY / "crates/testkit/differential"))
from sink_log import committed_lines  # noqa: E402

HEADER = """
import sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.appName("words").master("local[3]").config("spark.mine", "builder").getOrCreate()
"""


class Programs(unittest.TestCase):
    def output(self, text, *arguments, **options):
        done = run_program(text, *arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def test_a_program_runs_and_its_output_comes_through(self):
        done = self.output(HEADER + "spark.range(2).show()\nprint(sys.argv[1:])\n", "--conf", "x y")
        self.assertEqual(done.stdout, "+---+\n| id|\n+---+\n|  0|\n|  1|\n+---+\n\n['--conf', 'x y']\n")

    def test_configuration_comes_from_file_arguments_and_program(self):
        text = HEADER + (
            "for key in ('spark.mine', 'spark.a', 'spark.b', 'spark.app.name', 'spark.master'):\n"
            "    print(spark.conf.get(key, None))\n"
        )
        with tempfile.TemporaryDirectory() as conf:
            pathlib.Path(conf, "spark-defaults.conf").write_text("spark.a 1\nspark.b 1\nspark.mine 1\n")
            before = ("--conf", "spark.b=2", "--master", "local[2]")
            done = self.output(text, before=before, env={"SPARK_CONF_DIR": conf})
        self.assertEqual(done.stdout.split("\n")[:5], ["builder", "1", "2", "words", "local[2]"])

    def test_the_applications_name_is_the_programs_unless_given(self):
        text = (
            "from pyspark.sql import SparkSession\n"
            "print(SparkSession.builder.getOrCreate().conf.get('spark.app.name'))\n"
        )
        self.assertEqual(self.output(text).stdout, "app.py\n")
        self.assertEqual(self.output(text, before=("--name", "mine")).stdout, "mine\n")

    def test_the_spark_context_and_log4j_are_there(self):
        text = HEADER + (
            "sc = spark.sparkContext\n"
            "print(sc.appName, sc.master, sc.defaultParallelism, sc.getConf().get('spark.mine'))\n"
            "print(sc.getConf().get('spark.none'), sc.getConf().get('spark.none', 'd'), sc.version)\n"
            "log = spark._jvm.org.apache.log4j.LogManager.getLogger('guru.' + sc.appName)\n"
            "log.info('one'); log.debug('two'); sc.setLogLevel('ERROR'); log.warn('three'); log.error('four')\n"
            "try:\n"
            "    spark._jvm.java.lang.System.currentTimeMillis()\n"
            "except RuntimeError as error:\n"
            "    print(error)\n"
            "try:\n"
            "    sc.parallelize([1])\n"
            "except AttributeError as error:\n"
            "    print(error)\n"
        )
        done = self.output(text)
        self.assertEqual(
            done.stdout.split("\n"),
            [
                "words local[3] 3 builder",
                "None d 4.2.0",
                "java.lang.System.currentTimeMillis cannot be called: Millstream runs without a JVM",
                "sparkContext.parallelize is not available: Millstream has no RDDs and no JVM; use the DataFrame API",
                "",
            ],
        )
        logged = [line for line in done.stderr.split("\n") if " words: " in line]
        self.assertEqual([line.split(" ", 2)[2] for line in logged], ["INFO words: one", "ERROR words: four"])
        time.strptime(logged[0][:17], "%y/%m/%d %H:%M:%S")

    def test_log4j_properties_are_honoured(self):
        text = (
            "open('log4j.properties', 'w').write('log4j.rootCategory=WARN, console\\n"
            "log4j.appender.console.target=System.out\\nlog4j.logger.guru.mine=INFO, console\\n')\n"
            "import subprocess, sys\n"
            "program = '''" + HEADER + "m = spark._jvm.org.apache.log4j.LogManager\n"
            "m.getLogger('guru.mine.app').info('yes')\nm.getLogger('other').info('no')\n'''\n"
            "open('inner.py', 'w').write(program)\n"
            "sys.exit(subprocess.run([sys.executable, 'inner.py']).returncode)\n"
        )
        lines = self.output(text).stdout.split("\n")
        self.assertTrue(lines[0].endswith(" INFO app: yes"), lines)
        self.assertEqual(len(lines), 2)

    def test_exit_codes_come_through(self):
        self.assertEqual(run_program("import sys; sys.exit(7)").returncode, 7)
        failed = run_program("raise ValueError('mine')")
        self.assertEqual(failed.returncode, 1)
        self.assertIn("ValueError: mine", failed.stderr)
        self.assertIn('app.py", line 1', failed.stderr)
        self.assertEqual(run_program("import os; os.kill(os.getpid(), 9)").returncode, 137)

    def test_python_files_can_be_imported(self):
        with tempfile.TemporaryDirectory() as folder:
            module = pathlib.Path(folder, "helper.py")
            module.write_text("x = 42\n")
            done = self.output("import helper; print(helper.x)", before=("--py-files", str(module)))
        self.assertEqual(done.stdout, "42\n")

    def test_another_sitecustomize_still_runs(self):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "sitecustomize.py").write_text("import builtins; builtins.mine = 42\n")
            self.assertEqual(self.output("print(mine)", env={"PYTHONPATH": folder}).stdout, "42\n")

    def test_what_cannot_be_is_refused_before_anything_starts(self):
        for before, text in [
            (("--master", "yarn"), 'master "yarn" is not possible'),
            (("--deploy-mode", "cluster"), "only client is possible"),
            (("--conf", "nonsense"), "not of the form key=value"),
            (("--py-files", "/nowhere.py"), "cannot read /nowhere.py"),
            (("--properties-file", "/nowhere"), "cannot read /nowhere"),
        ]:
            done = run_program("print('ran')", before=before)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(text, done.stderr)
        missing = subprocess.run([BINARY, "submit", "/nowhere/app.py"], capture_output=True, text=True)
        self.assertIn("cannot read /nowhere/app.py", missing.stderr)
        python = run_program("", env={"MILLSTREAM_PYTHON": "/nowhere/python"})
        self.assertIn("cannot start /nowhere/python", python.stderr)

    def test_options_without_effect_are_told_once(self):
        done = self.output("", before=("--jars", "a.jar", "--executor-memory", "2g"))
        self.assertEqual(done.stderr.count("--jars has no effect"), 1)
        self.assertEqual(done.stderr.count("--executor-memory has no effect"), 1)

    def test_a_query_that_is_not_awaited_ends_with_the_program(self):
        text = HEADER + "spark.readStream.format('rate').load().writeStream.format('noop').start()\nprint('end')\n"
        began = time.monotonic()
        self.assertEqual(self.output(text).stdout, "end\n")
        self.assertLess(time.monotonic() - began, 20)

    def test_stdin_reaches_the_program(self):
        done = run_program("print(input())", input="typed\n")
        self.assertEqual(done.stdout, "typed\n")


class Signals(unittest.TestCase):
    """Signals to the launcher alone, as from `kill`, and to its whole process group, as from a terminal."""

    def start(self, text, terminal=False):
        folder = tempfile.TemporaryDirectory(prefix="millstream-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name).resolve()
        app = self.folder / "app.py"
        app.write_text(text)
        stdin = subprocess.DEVNULL
        if terminal:
            ours, stdin = pty.openpty()
            self.addCleanup(os.close, ours)
            self.addCleanup(os.close, stdin)
        process = subprocess.Popen(
            [BINARY, "submit", str(app)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder.name,
            env={**os.environ, "MILLSTREAM_PYTHON": sys.executable},
            start_new_session=True,
            # Whoever runs the tests in the background has it ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    WAITING = HEADER + (
        "import time\n"
        "rows = spark.readStream.format('rate-micro-batch').option('rowsPerBatch', 10).load()\n"
        "query = rows.writeStream.format('json').option('checkpointLocation', 'chk').start('out')\n"
        "while not query.recentProgress:\n"
        "    time.sleep(0.02)\n"
        "try:\n"
        # Inside: a signal may come as soon as this line is out.
        "    print('ready', flush=True)\n"
        "    query.awaitTermination()\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', query.isActive, flush=True)\n"
        "    raise\n"
        "finally:\n"
        "    time.sleep(0.3)\n"
        "    print('cleaned up', flush=True)\n"
    )
    ONE_MORE_BATCH = HEADER + (
        "rows = spark.readStream.format('rate-micro-batch').option('rowsPerBatch', 10).load()\n"
        "query = rows.writeStream.format('json').option('checkpointLocation', 'chk').trigger(once=True).start('out')\n"
        "query.awaitTermination()\n"
    )

    def ended(self, send, code, terminal=False):
        """Starts a query, ends it with a signal, and lets it go on: what the program printed and said."""
        process = self.start(self.WAITING, terminal)
        began = time.monotonic()
        send(process.pid)
        out, err = process.communicate(timeout=TIMEOUT_S)
        self.assertEqual(process.returncode, code, err)
        # The launcher kills a program that does not end after ten seconds, and would say so.
        self.assertNotIn("killed", err)
        self.assertLess(time.monotonic() - began, 10)
        (self.folder / "again.py").write_text(self.ONE_MORE_BATCH)
        again = subprocess.run(
            [BINARY, "submit", "again.py"], cwd=self.folder, capture_output=True, text=True, timeout=TIMEOUT_S,
            env={**os.environ, "MILLSTREAM_PYTHON": sys.executable},
        )
        self.assertEqual(again.returncode, 0, again.stderr)
        values = [json.loads(line)["value"] for line in committed_lines(self.folder / "out")]
        self.assertEqual(sorted(values), list(range(len(values))))
        self.assertGreaterEqual(len(values), 20)
        return out, err

    def test_an_interrupt_unwinds_the_program_once(self):
        alone = lambda pid: os.kill(pid, signal.SIGINT)
        group = lambda pid: os.killpg(pid, signal.SIGINT)
        for send, terminal in ((alone, False), (group, False), (alone, True), (group, True)):
            with self.subTest(group=send is group, terminal=terminal):
                try:
                    out, err = self.ended(send, 130, terminal)
                except AssertionError as lost:
                    # Python drops an interrupt that it raises inside a destructor or a callback of gRPC; a second one in
                    # a row would be ours.
                    if "'killed' unexpectedly found" not in str(lost):
                        raise
                    out, err = self.ended(send, 130, terminal)
                self.assertEqual(out, "interrupted True\ncleaned up\n")
                self.assertEqual(err.count("\nKeyboardInterrupt"), 1, err)

    def test_termination_ends_the_program_and_leaves_a_checkpoint_to_go_on_from(self):
        for send in (os.kill, os.killpg):
            with self.subTest(send=send.__name__):
                self.ended(lambda pid: send(pid, signal.SIGTERM), 143)

    def test_a_program_that_ignores_the_signal_is_killed_by_the_second(self):
        text = (
            "import signal, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "print('ready', flush=True)\n"
            "time.sleep(60)\n"
        )
        process = self.start(text)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(TIMEOUT_S), 143)

    def test_the_program_dies_with_its_launcher(self):
        process = self.start("import os, time\nprint('ready', flush=True)\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
        program = int(process.stdout.readline())
        process.kill()
        process.wait(TIMEOUT_S)
        deadline = time.monotonic() + 10
        while os.path.exists("/proc/%d" % program) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertFalse(os.path.exists("/proc/%d" % program))


if __name__ == "__main__":
    unittest.main()
