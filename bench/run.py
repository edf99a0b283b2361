"""Runs the benchmarks on Millstream and on Spark and prints both, with ratios.

usage: run.py MILLSTREAM SPARK_PYTHON [--events N] [--rows N] [--keys N] [--batches N] [--only NAME,NAME]

NAMEs: ysb, latency, startup, memory, sliding, session, dedup, join, keys, spill. The generator of the stateful benchmarks needs
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
        env = {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_SUBMIT_ARGS": "--driver-memory 4g pyspark-shell"}
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


def stateful(name, provider=None):
    """A benchmark of `stateful.py`: the same query on both engines, with equal answers."""

    def bench(engines, folder, rows):
        events = f"{folder}/events-{rows}" if name != "keys" else f"{folder}/keys-{rows}"
        files, per_trigger = 16, 4
        if not os.path.exists(events):
            keys = [str(rows)] if name == "keys" else []
            python = os.environ.get("MILLSTREAM_PYTHON", sys.executable)
            subprocess.run([python, f"{HERE}/generate_events.py", events, str(rows), str(files), *keys], check=True)
        answers = {}
        for engine, on in [("millstream", engines.on_millstream), ("spark", engines.on_spark)]:
            target = f"{folder}/{name}-{provider}-{engine}"
            figures, _, _ = on("stateful.py", name, events, target, str(per_trigger), *([provider] if provider else []))
            shutil.rmtree(target)
            answers[engine] = figures
        ours, theirs = answers["millstream"], answers["spark"]
        for figure in ("read", "rows", "n", "total", "state"):
            assert ours.get(figure) == theirs.get(figure), f"the answers of {name} differ in {figure}: {ours} {theirs}"
        ours_rate, theirs_rate = (int(figures["read"]) / float(figures["seconds"]) for figures in (ours, theirs))
        label = name if provider is None else f"{name} {provider}"
        print(f"{label:13} millstream {ours_rate:12,.0f} rows/s     spark {theirs_rate:12,.0f} rows/s     ratio"
              f" {ours_rate / theirs_rate:6.1f}x   (batches {ours['batches_ms']} ms against {theirs['batches_ms']} ms;"
              f" state commits {ours['commits_ms']} ms)", flush=True)

    return bench


def latency(engines, folder, batches):
    ours, _, _ = engines.on_millstream("latency.py", f"{folder}/latency-millstream", str(batches))
    theirs, _, _ = engines.on_spark("latency.py", f"{folder}/latency-spark", str(batches))
    ratio = float(theirs["median_ms"]) / max(float(ours["median_ms"]), 0.5)
    print(f"latency       millstream {ours['median_ms']:>9} ms median, {ours['p99_ms']} p99   spark {theirs['median_ms']} ms median,"
          f" {theirs['p99_ms']} p99   ratio {ratio:.0f}x", flush=True)


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
            "sliding": (stateful("sliding"), args.rows),
            "session": (stateful("session"), args.rows),
            "dedup": (stateful("dedup"), args.rows),
            "join": (stateful("join"), args.rows // 4),
            "keys": (stateful("keys"), args.keys),
            "spill": (stateful("keys", "RocksDB"), args.keys),
        }
        for name in args.only.split(",") if args.only else benches:
            bench, size = benches[name]
            bench(engines, folder, size)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
