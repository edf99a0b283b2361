"""Runs the benchmarks on Millstream and on Spark and prints both, with ratios.

usage: run.py MILLSTREAM SPARK_PYTHON [--events N] [--rows N] [--keys N] [--batches N] [--only NAME,NAME]

NAMEs: ysb, latency, startup, memory, sliding, panes, session, dedup, join, keys, spill, bounded. The generator of the stateful benchmarks needs
pyarrow: it runs on the Python of MILLSTREAM_PYTHON.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def run(command, env=None):
    """Runs a program; returns its RESULT figures, wall seconds and what it logged."""
    began = time.time()
    done = subprocess.run(command, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wall = time.time() - began
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr[-4000:]}")
    figures = {}
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            figures.update(pair.split("=") for pair in line.split()[1:])
    return figures, wall, done.stderr


class Engines:
    def __init__(self, millstream, spark_python):
        self.millstream, self.spark_python = millstream, spark_python

    def on_millstream(self, program, *args):
        return run([self.millstream, "submit", "--master", "local[2]", f"{HERE}/{program}", *args])

    def on_spark(self, program, *args):
        env = {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_SUBMIT_ARGS": "--driver-memory 8g pyspark-shell"}
        return run([self.spark_python, f"{HERE}/{program}", *args], env)


def ysb(engines, folder, events):
    files = 32
    subprocess.run([sys.executable, f"{HERE}/generate_ysb.py", f"{folder}/ysb", str(events), str(files)], check=True)
    answers = {}
    for name, on in [("millstream", engines.on_millstream), ("spark", engines.on_spark)]:
        figures, _, _ = on("ysb.py", f"{folder}/ysb", f"{folder}/ysb-{name}")
        answers[name] = (events / float(figures["seconds"]), figures["windows"], figures["views"])
    scan, _, _ = engines.on_millstream("ysb.py", f"{folder}/ysb", f"{folder}/ysb-scan", "scan")
    (ours, *our_answer), (theirs, *their_answer) = answers["millstream"], answers["spark"]
    assert our_answer == their_answer, f"the answers differ: {our_answer} {their_answer}"
    print(f"ysb           millstream {ours:12,.0f} events/s   spark {theirs:12,.0f} events/s   ratio {ours / theirs:6.1f}x"
          f"   (same {our_answer[0]} windows, {our_answer[1]} views; parsing JSON is {float(scan['seconds']) * ours / events:.0%} of the time)",
          flush=True)


class Stateful:
    """A benchmark of `stateful.py`."""

    FILES = 16
    PER_TRIGGER = 4

    def __init__(self, name, provider=None):
        self.name, self.provider = name, provider
        self.label = name if provider is None else f"{name} {provider}"

    def events(self, folder, rows, files=FILES):
        """The input: one for all queries but `keys`, which has a key in most rows that was not there before."""
        keys = [str(rows)] if self.name == "keys" else []
        events = f"{folder}/{'keys' if keys else 'events'}-{rows}-{files}"
        if not os.path.exists(events):
            python = os.environ.get("MILLSTREAM_PYTHON", sys.executable)
            written = str(rows + rows // 5) if keys else str(rows)
            subprocess.run([python, f"{HERE}/generate_events.py", events, written, str(files), *keys], check=True)
        return events

    def figures(self, on, folder, events, per_trigger=PER_TRIGGER, memory_mb=None):
        target = f"{folder}/stateful"
        options = [self.provider] if self.provider else []
        options += [str(memory_mb)] if memory_mb else []
        figures, _, _ = on("stateful.py", self.name, events, target, str(per_trigger), *options)
        shutil.rmtree(target)
        return figures

    def __call__(self, engines, folder, rows):
        """The same query on both engines, with equal answers."""
        events = self.events(folder, rows)
        ours = self.figures(engines.on_millstream, folder, events)
        theirs = self.figures(engines.on_spark, folder, events)
        for figure in ("read", "rows", "n", "total", "state"):
            assert ours.get(figure) == theirs.get(figure), f"the answers of {self.name} differ in {figure}: {ours} {theirs}"
        ratio = rows_per_second(ours) / rows_per_second(theirs)
        print(f"{self.label:13} millstream {rows_per_second(ours):12,.0f} rows/s     spark {rows_per_second(theirs):12,.0f} rows/s"
              f"     ratio {ratio:6.1f}x   (batches {ours['batches_ms']} ms against {theirs['batches_ms']} ms;"
              f" state commits {ours['commits_ms']} ms)", flush=True)


def rows_per_second(figures):
    return int(figures["read"]) / float(figures["seconds"])


def panes(engines, folder, rows):
    """What ten windows a row cost against one, on Millstream alone: how often the rows are told apart from the windows they fill."""
    overlapping, apart = Stateful("sliding"), Stateful("tumbling")
    events = apart.events(folder, rows)
    ours = overlapping.figures(engines.on_millstream, folder, events)
    theirs = apart.figures(engines.on_millstream, folder, events)
    print(f"panes         sliding {ours['seconds']} s for {ours['rows']} windows   tumbling {theirs['seconds']} s for {theirs['rows']}"
          f" windows   ratio {float(ours['seconds']) / float(theirs['seconds']):.1f}x", flush=True)


def bounded(engines, folder, keys):
    """State larger than memory, on Millstream alone: does the cost of a commit grow with the state, and what does the process take?"""
    bench = Stateful("keys", "RocksDB")
    figures = bench.figures(engines.on_millstream, folder, bench.events(folder, keys, 120), 1, 128)
    commits = [int(ms) for ms in figures["commits_ms"].split(",")]
    quarter = len(commits) // 4
    first, last = (sorted(part)[quarter // 2] for part in (commits[:quarter], commits[-quarter:]))
    print(f"bounded       millstream {rows_per_second(figures):12,.0f} rows/s   {figures['state']} keys in {len(commits)} batches; state commits"
          f" {first} ms median in the first quarter, {last} ms in the last, {max(commits)} ms at most; peak"
          f" {int(figures['server_kib']) / 1024:.0f} MiB", flush=True)


def latency(engines, folder, batches):
    ours, _, _ = engines.on_millstream("latency.py", f"{folder}/latency-millstream", str(batches))
    theirs, _, _ = engines.on_spark("latency.py", f"{folder}/latency-spark", str(batches))
    ratio = float(theirs["median_ms"]) / max(float(ours["median_ms"]), 0.5)
    print(f"latency       millstream {ours['median_ms']:>9} ms median, {ours['p99_ms']} p99, {ours['mean_ms']} mean   spark"
          f" {theirs['median_ms']} ms median, {theirs['p99_ms']} p99   ratio {ratio:.0f}x", flush=True)
    if os.path.isdir("/dev/shm"):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
            engine, _, _ = engines.on_millstream("latency.py", f"{memory}/checkpoint", str(batches))
        print(f"              millstream {engine['mean_ms']:>9} ms a batch with the checkpoint in memory, where nothing waits for a disk",
              flush=True)


def startup(engines, folder, _):
    _, ours, log = engines.on_millstream("trivial.py")
    _, theirs, _ = engines.on_spark("trivial.py")
    print(f"start-up      millstream {ours:.2f} s whole program   spark {theirs:.2f} s   ratio {theirs / ours:.1f}x")
    ready = server_ready_ms(engines.millstream)
    print(f"              millstream server ready in {ready:.0f} ms (process start to first answered connection)")


def memory(engines, folder, _):
    """Peak resident memory of the server process on the word count of the notes, fed through a socket."""
    import socket
    import threading

    listener = socket.create_server(("127.0.0.1", 0))

    def feed():
        connection, _ = listener.accept()
        with connection:
            try:
                while True:
                    connection.sendall(b"the quick brown fox jumps over the lazy dog\n" * 100)
                    time.sleep(0.01)
            except OSError:
                pass

    threading.Thread(target=feed, daemon=True).start()
    program = [engines.millstream, "submit", "--master", "local[2]", f"{HERE}/word_count.py", str(listener.getsockname()[1])]
    figures, _, _ = run(program)
    print(f"memory        millstream {int(figures['server_kib']) / 1024:.0f} MiB peak on a socket word count of"
          f" {figures['batches']} batches", flush=True)


def server_ready_ms(millstream):
    """Time from starting the server's process to a port that accepts."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    times = []
    for _ in range(5):
        began = time.time()
        server = subprocess.Popen([millstream, "server", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.time() - began > 10:
                    sys.exit("the server did not start")
                time.sleep(0.001)
        times.append((time.time() - began) * 1000)
        server.terminate()
        server.wait()
    return sorted(times)[len(times) // 2]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("millstream")
    parser.add_argument("spark_python")
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--keys", type=int, default=10_000_000)
    parser.add_argument("--batches", type=int, default=300)
    parser.add_argument("--only")
    args = parser.parse_args()
    engines = Engines(os.path.abspath(args.millstream), args.spark_python)
    folder = tempfile.mkdtemp(prefix="millstream-bench-")
    try:
        benches = {
            "ysb": (ysb, args.events),
            "latency": (latency, args.batches),
            "startup": (startup, None),
            "memory": (memory, None),
            "sliding": (Stateful("sliding"), args.rows),
            "panes": (panes, args.rows),
            "session": (Stateful("session"), args.rows),
            "dedup": (Stateful("dedup"), args.rows),
            "join": (Stateful("join"), args.rows // 4),
            "keys": (Stateful("keys"), args.keys),
            "spill": (Stateful("keys", "RocksDB"), args.keys),
            "bounded": (bounded, args.keys),
        }
        for name in args.only.split(",") if args.only else benches:
            bench, size = benches[name]
            bench(engines, folder, size)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
