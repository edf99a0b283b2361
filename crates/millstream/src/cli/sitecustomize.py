"""Lets unmodified Spark programs run on Millstream with the official `pyspark-client` package.

`millstream submit` puts this file on PYTHONPATH, so Python imports it before the program starts. It imports nothing
of pyspark itself: it waits for the program to do so, and then

* lets `SparkSession.builder.master(...)` pass although SPARK_REMOTE is set (the client refuses the pair),
* gives sessions the two attributes that programs use and the client lacks: `sparkContext` and, for log4j, `_jvm`.

It also keeps a line to the launcher: what that sends (Ctrl-C, termination) becomes a signal here, and if the
launcher dies, so does the program, instead of waiting for a server that is gone.
"""
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys

_LEVELS = ("ALL", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "OFF")


class _Logging:
    """What log4j would print: to stderr, from INFO on, unless ./log4j.properties says otherwise.

    Of that file the root level, the levels of loggers and the target of a console appender are used.
    """

    def __init__(self):
        self.stream = "stderr"
        self.root = "INFO"
        self.by_prefix = {}
        try:
            with open("log4j.properties", encoding="utf-8") as lines:
                self._read(lines)
        except OSError:
            pass

    def _read(self, lines):
        for line in lines:
            line = line.strip()
            if line[:1] in ("", "#", "!") or "=" not in line:
                continue
            key, value = (part.strip() for part in line.split("=", 1))
            level = value.split(",")[0].strip().upper()
            if key in ("log4j.rootCategory", "log4j.rootLogger", "rootLogger.level"):
                self._set_root(level)
            elif key.startswith("log4j.logger.") and level in _LEVELS:
                self.by_prefix[key[len("log4j.logger."):]] = level
            elif key.lower().endswith(".target") and value in ("System.out", "System.err"):
                self.stream = "stdout" if value == "System.out" else "stderr"

    def _set_root(self, level):
        if level in _LEVELS:
            self.root = level

    def set_level(self, level):
        """`sparkContext.setLogLevel`: overrides all that was configured."""
        level = str(level).upper()
        if level not in _LEVELS:
            raise ValueError("log level %r is not one of %s" % (level, ", ".join(_LEVELS)))
        self.root = level
        self.by_prefix = {}

    def level_of(self, name):
        while name:
            if name in self.by_prefix:
                return self.by_prefix[name]
            name = name.rpartition(".")[0]
        return self.root

    def write(self, name, level, message):
        if _LEVELS.index(level) < _LEVELS.index(self.level_of(name)):
            return
        import time

        stream = getattr(sys, self.stream)
        short_name = name.rpartition(".")[2]
        stream.write("%s %s %s: %s\n" % (time.strftime("%y/%m/%d %H:%M:%S"), level, short_name, message))
        stream.flush()


_logging = _Logging()
_told = set()


def _without_effect(what, why):
    """Says once that something was accepted without effect."""
    if what not in _told:
        _told.add(what)
        _logging.write("millstream", "WARN", "%s has no effect: %s" % (what, why))


class _Logger:
    """org.apache.log4j.Logger"""

    def __init__(self, name):
        self._name = name

    def getName(self):
        return self._name

    def setLevel(self, level):
        _logging.by_prefix[self._name] = str(level)

    def getLevel(self):
        return _logging.level_of(self._name)

    def isDebugEnabled(self):
        return self._enabled("DEBUG")

    def isInfoEnabled(self):
        return self._enabled("INFO")

    def isTraceEnabled(self):
        return self._enabled("TRACE")

    def _enabled(self, level):
        return _LEVELS.index(level) >= _LEVELS.index(_logging.level_of(self._name))


def _log_method(level):
    def log(self, message, *cause):
        text = "\n".join(str(part) for part in (message, *cause))
        _logging.write(self._name, level, text)

    return log


for _level in ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"):
    setattr(_Logger, _level.lower(), _log_method(_level))
_Logger.warning = _Logger.warn


class _LogManager:
    """org.apache.log4j.LogManager"""

    @staticmethod
    def getLogger(name):
        return _Logger(str(name))

    @staticmethod
    def getRootLogger():
        return _Logger("")


_LogManager.Logger = _LogManager


class _Level:
    """org.apache.log4j.Level"""


for _level in _LEVELS:
    setattr(_Level, _level, _level)

_JAVA_CLASSES = {
    "org.apache.log4j.LogManager": _LogManager,
    "org.apache.log4j.Logger": _LogManager,
    "org.apache.log4j.Level": _Level,
}


class _JavaName:
    """A name in a JVM that is not there: only the logging classes lead anywhere."""

    def __init__(self, path=""):
        self._path = path

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        path = self._path + "." + name if self._path else name
        return _JAVA_CLASSES.get(path) or _JavaName(path)

    def __call__(self, *_arguments):
        raise RuntimeError("%s cannot be called: Millstream runs without a JVM" % self._path)

    def __repr__(self):
        return "<%s: not available, Millstream runs without a JVM>" % (self._path or "JVM")


class _Conf:
    """What `sparkContext.getConf()` returns: the session's configuration, to read."""

    def __init__(self, session):
        self._session = session

    def get(self, key, defaultValue=None):
        return self._session.conf.get(key, defaultValue)

    def contains(self, key):
        return self.get(key) is not None

    def getAll(self):
        return list(self._session.conf.getAll.items())

    def toDebugString(self):
        return "\n".join("%s=%s" % pair for pair in sorted(self.getAll()))


_PARALLELISM = "spark.default.parallelism"


def _threads(master):
    """The N of `local[N]`."""
    number = master.partition("[")[2].partition("]")[0].partition(",")[0].strip()
    if number.isdigit():
        return int(number)
    return os.cpu_count() or 1 if number == "*" else 1


class _SparkContext:
    """The part of SparkContext that makes sense without one."""

    def __init__(self, session):
        self._session = session

    def getConf(self):
        return _Conf(self._session)

    def setLogLevel(self, logLevel):
        _logging.set_level(logLevel)

    @property
    def appName(self):
        return self._session.conf.get("spark.app.name", "")

    @property
    def applicationId(self):
        return "local-" + self._session.session_id

    @property
    def version(self):
        return self._session.version

    @property
    def master(self):
        return getattr(self._session, "_master", None) or self._session.conf.get("spark.master", "local[*]")

    @property
    def pythonVer(self):
        return "%d.%d" % sys.version_info[:2]

    @property
    def defaultParallelism(self):
        return int(self._session.conf.get(_PARALLELISM, None) or _threads(self.master))

    @property
    def uiWebUrl(self):
        return None

    def sparkUser(self):
        return os.environ.get("SPARK_USER") or os.environ.get("USER") or ""

    def addPyFile(self, path):
        self._session.addArtifacts(path, pyfile=True)

    def addFile(self, path, recursive=False):
        self._session.addArtifacts(path, file=True)

    def addArchive(self, path):
        self._session.addArtifacts(path, archive=True)

    def setLocalProperty(self, key, value):
        _without_effect("sparkContext.setLocalProperty(%r)" % key, "there are no jobs to attach it to")

    def setJobGroup(self, groupId, description, interruptOnCancel=False):
        self._session.addTag(groupId)

    def setJobDescription(self, value):
        _without_effect("sparkContext.setJobDescription", "there is no page of jobs to show it")

    def setCheckpointDir(self, dirName):
        _without_effect("sparkContext.setCheckpointDir", "there are no RDDs to checkpoint")

    def cancelAllJobs(self):
        self._session.interruptAll()

    def cancelJobGroup(self, groupId):
        self._session.interruptTag(groupId)

    def stop(self):
        self._session.stop()

    def __getattr__(self, name):
        raise AttributeError(
            "sparkContext.%s is not available: Millstream has no RDDs and no JVM; use the DataFrame API" % name
        )


def _patch_builder(module):
    module.SparkSession.Builder._validate_startup_urls = lambda self: None


def _patch_session(module):
    builder = module.SparkSession.Builder
    apply_options = builder._apply_options

    def apply_options_and_master(self, session):
        """The client drops the master; here it says into how many partitions queries are cut."""
        apply_options(self, session)
        master = self._options.get("spark.master")
        if master is not None and getattr(session, "_master", None) != master:
            session._master = master
            if master.startswith("local") and session.conf.get(_PARALLELISM, None) is None:
                session.conf.set(_PARALLELISM, str(_threads(master)))

    builder._apply_options = apply_options_and_master
    module.SparkSession._jvm = property(lambda self: _JavaName())
    module.SparkSession.sparkContext = property(_SparkContext)


_PATCHES = {"pyspark.sql.session": _patch_builder, "pyspark.sql.connect.session": _patch_session}


class _AfterImport(importlib.abc.MetaPathFinder):
    """Finds the modules of `_PATCHES` as usual, and patches them once they have run."""

    def find_spec(self, name, path, target=None):
        patch = _PATCHES.get(name)
        if patch is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_and_patch(module):
                run(module)
                patch(module)

            spec.loader.exec_module = run_and_patch
        return spec


class _Missing(importlib.abc.MetaPathFinder):
    """Last on the path: says where pyspark comes from."""

    def find_spec(self, name, path, target=None):
        if name == "pyspark":
            raise ModuleNotFoundError(
                "No module named 'pyspark'. Millstream runs programs with Spark's official client: "
                "%s -m pip install pyspark-client" % sys.executable,
                name=name,
            )
        return None


class _Caught:
    """Which signals this process caught lately, whoever handles them: the interpreter notes each on a wakeup file.

    A terminal's Ctrl-C goes to the whole process group: to the launcher, which passes it on, and to us as well. The
    program must see one interrupt, not a second one in the middle of its clean-up.
    """

    LATELY_S = 1.0
    ON_ITS_WAY_S = 0.1

    def __init__(self):
        import signal
        import socket

        self.file, self._noted = socket.socketpair()
        self.file.setblocking(False)
        self._noted.setblocking(False)
        self._last = {}
        signal.set_wakeup_fd(self._noted.fileno(), warn_on_full_buffer=False)

    def read(self):
        import time

        try:
            for number in self.file.recv(4096):
                self._last[number] = time.monotonic()
        except OSError:
            pass

    def lately(self, number):
        """Whether the signal came by itself; one that was sent together with the launcher's may be on its way."""
        import select
        import time

        now = time.monotonic()
        while time.monotonic() < now + self.ON_ITS_WAY_S:
            select.select([self.file], [], [], self.ON_ITS_WAY_S)
            self.read()
            if self._last.get(number, float("-inf")) > now - self.LATELY_S:
                return True
        return False


def _follow_launcher(path):
    """Turns what the launcher sends into signals; the end of the line means that the launcher is gone."""
    import select
    import signal
    import socket
    import threading

    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.connect(path)
    caught = _Caught()

    def orders():
        while True:
            ready, _, _ = select.select([line, caught.file], [], [])
            if caught.file in ready:
                caught.read()
            if line in ready:
                try:
                    return line.recv(16)
                except OSError:
                    return b""

    def follow():
        while True:
            received = orders()
            for order in received or b"T":
                number = signal.SIGINT if order == ord("I") else signal.SIGTERM
                if not caught.lately(number):
                    os.kill(os.getpid(), number)
            if not received:
                return

    threading.Thread(target=follow, name="millstream-launcher", daemon=True).start()


def _run_next_sitecustomize():
    """This file hides another one of its name further down the path; that one is meant to run as well."""
    here = os.path.dirname(os.path.abspath(__file__))
    rest = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", rest)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


sys.meta_path.insert(0, _AfterImport())
sys.meta_path.append(_Missing())
# Programs may start Python processes of their own; only the first one belongs to the launcher.
if os.environ.get("MILLSTREAM_LAUNCHER_PID") == str(os.getppid()) and "MILLSTREAM_LAUNCHER_LINE" in os.environ:
    _follow_launcher(os.environ["MILLSTREAM_LAUNCHER_LINE"])
_run_next_sitecustomize()
