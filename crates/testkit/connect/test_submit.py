"""`millstream submit`: unmodified programs, their exit codes, signals and surroundings."""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from support import BINARY, TIMEOUT_S, run_program

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
    """Signals to the launcher. Its standard input is no terminal here, so it passes all of them on."""

    def start(self, text):
        folder = tempfile.TemporaryDirectory(prefix="millstream-test-")
        self.addCleanup(folder.cleanup)
        app = pathlib.Path(folder.name, "app.py")
        app.write_text(text)
        process = subprocess.Popen(
            [BINARY, "submit", str(app)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder.name,
            env={**os.environ, "MILLSTREAM_PYTHON": sys.executable},
        )
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    WAITING = HEADER + (
        "query = spark.readStream.format('rate').load().writeStream.format('noop').start()\n"
        "print('ready', flush=True)\n"
        "try:\n"
        "    query.awaitTermination()\n"
        "finally:\n"
        "    print('cleaned up', flush=True)\n"
    )

    def test_an_interrupt_unwinds_the_program(self):
        process = self.start(self.WAITING)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(TIMEOUT_S), 130)
        self.assertEqual(process.stdout.read(), "cleaned up\n")
        self.assertIn("KeyboardInterrupt", process.stderr.read())

    def test_termination_ends_the_program(self):
        process = self.start(self.WAITING)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(TIMEOUT_S), 143)

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
