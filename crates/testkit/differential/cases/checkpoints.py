"""Stopping and starting with a checkpoint: offsets resumed, state kept, nothing doubled or lost."""

import json
import shutil

from pyspark.sql import functions as F

from harness import case, streams

EVENT = "ts timestamp, k string, v int"


def at(time, k="a", v=1):
    return {"ts": f"2024-01-01T{time}:00Z", "k": k, "v": v}


def run(env, df, mode="append", *, fmt="json", out="out", chk="chk", name=None, **options):
    """One AvailableNow run into files; answers with its batches."""
    writer = df.writeStream.format(fmt).outputMode(mode).option("checkpointLocation",
                                                                env.path(chk)).trigger(availableNow=True
                                                                                       ).options(**options)
    if fmt != "noop":
        writer = writer.option("path", env.path(out))
    query = writer.start()
    query.awaitTermination()
    return streams.batches(query, set())


@case
def offsets_go_on(spark, env):
    told = []
    for number, step in enumerate([[at("10:00")], [at("10:01"), at("10:02")], [], [at("10:03")]]):
        if step:
            env.write(f"in/{number}.json", step)
        told.append(run(env, env.events(EVENT)))
    return {"runs": told, "committed": env.committed(env.path("out"))}


@case
def state_and_watermark_go_on(spark, env):
    df = env.events(EVENT).withWatermark("ts",
                                         "10 minutes").groupBy(F.window("ts", "10 minutes"),
                                                               "k").agg(F.sum("v").alias("s")
                                                                        ).select("window.start", "k", "s")
    told = []
    for number, step in enumerate([[at("10:01"), at("10:02", "b", 5)], [at("10:05", v=10), at("10:16")],
                                   [at("10:25"), at("10:03", v=100)], [at("10:01", v=1000),
                                                                       at("10:45")], []]):
        if step:
            env.write(f"in/{number}.json", step)
        told.append(run(env, df))
    return {"runs": told, "committed": env.committed(env.path("out"))}


@case
def running_totals_go_on_in_complete_mode(spark, env):
    df = env.events(EVENT
                    ).groupBy("k").agg(F.sum("v").alias("s"),
                                       F.count("*").alias("n"),
                                       F.avg("v").alias("a"))
    told = []
    for number, step in enumerate([[at("10:01"), at("10:02", "b", 5)], [at("10:05", v=10)], [at("10:05", "c",
                                                                                                None)]]):
        env.write(f"in/{number}.json", step)
        query = df.writeStream.format("memory").queryName("totals").outputMode("complete").option(
            "checkpointLocation", env.path("chk")
        ).trigger(availableNow=True).start()
        query.awaitTermination()
        told.append(env.rows(spark.table("totals")))
    return told


@case
def uncommitted_batch_is_run_again(spark, env):
    """As after a crash between the batch and its commit: same offsets, same output file names kept out of the log."""
    df = env.events(EVENT).select("k", "v")
    env.write("in/0.json", [at("10:00")])
    run(env, df)
    env.write("in/1.json", [at("10:01", "b")])
    run(env, df)
    for name in ("1", ".1.crc"):
        (env.scratch / "chk/commits" / name).unlink(missing_ok=True)
    env.write("in/2.json", [at("10:02", "c")])
    told = run(env, df)
    return {"run": told, "committed": env.committed(env.path("out"))}


@case
def uncommitted_stateful_batch_is_run_again(spark, env):
    df = env.events(EVENT).groupBy("k").agg(F.sum("v").alias("s"))
    for number, value in enumerate((1, 10)):
        env.write(f"in/{number}.json", [at("10:00", v=value)])
        run(env, df, "update", fmt="noop")
    for name in ("1", ".1.crc"):
        (env.scratch / "chk/commits" / name).unlink(missing_ok=True)
    query = df.writeStream.format("memory").queryName("again").outputMode("complete").option(
        "checkpointLocation", env.path("chk")
    ).trigger(availableNow=True).start()
    query.awaitTermination()
    return {"batches": streams.batches(query, set()), "rows": env.rows(spark.table("again"))}


@case
def once_ignores_the_limits(spark, env):
    for number in range(3):
        env.write(f"in/{number}.json", [at("10:00", v=number)])
    query = env.events(
        EVENT, maxFilesPerTrigger="1"
    ).writeStream.format("noop").option("checkpointLocation", env.path("chk")).trigger(once=True).start()
    query.awaitTermination()
    first = streams.batches(query, set())
    env.write("in/9.json", [at("10:09")])
    query = env.events(
        EVENT, maxFilesPerTrigger="1"
    ).writeStream.format("noop").option("checkpointLocation",
                                        env.path("chk")).trigger(availableNow=True).start()
    query.awaitTermination()
    return [first, streams.batches(query, set())]


@case
def available_now_ends_with_a_no_data_batch(spark, env):
    env.write("in/0.json", [at("10:01")])
    env.write("in/1.json", [at("10:30")])
    df = env.events(
        EVENT, maxFilesPerTrigger="1"
    ).withWatermark("ts",
                    "10 minutes").groupBy(F.window("ts",
                                                   "10 minutes")).count().select("window.start", "count")
    return {"batches": run(env, df), "committed": env.committed(env.path("out"))}


@case
def log_files(spark, env):
    """What the checkpoint of a watermarked query holds after two batches."""
    df = env.events(EVENT).withWatermark("ts", "10 minutes").groupBy(F.window("ts", "10 minutes"),
                                                                     "k").count()
    env.write("in/0.json", [at("10:01")])
    run(env, df)
    chk = env.scratch / "chk"
    logs = {
        f"{folder}/{p.name}": p.read_text().splitlines()
        for folder in ("offsets", "commits")
        for p in sorted((chk / folder).iterdir()) if p.name.isdigit()
    }
    for lines in (v for k, v in logs.items() if k.startswith("offsets/")):
        header = json.loads(lines[1])
        lines[1] = {"keys": sorted(header), "batchWatermarkMs": header["batchWatermarkMs"]}
    operator = (chk / "state/0/_metadata/metadata").read_text().splitlines()
    return {
        "logs": logs,
        "operator": operator,
        "tree": [p for p in env.tree("chk") if not p.startswith("sources")]
    }


@case
def changes_between_runs(spark, env):
    """What a restart accepts and refuses when the program changed in between."""
    base = lambda: env.events(EVENT).withWatermark("ts", "10 minutes")
    first = lambda: base().groupBy("k").agg(F.count("*").alias("n"))
    changed = {
        "nothing": first,
        "filter added": lambda: base().where("v > 0").groupBy("k").agg(F.count("*").alias("n")),
        "column renamed": lambda: base().groupBy(F.col("k").alias("kk")).agg(F.count("*").alias("m")),
        "key added": lambda: base().groupBy("k", "v").agg(F.count("*").alias("n")),
        "key type": lambda: base().groupBy(F.length("k").alias("k")).agg(F.count("*").alias("n")),
        "aggregate added": lambda: base().groupBy("k").agg(F.count("*").alias("n"), F.sum("v")),
        "aggregate of the same type": lambda: base().groupBy("k").agg(F.sum("v").alias("n")),
        "deduplication instead": lambda: base().dropDuplicates(["k"]),
        "stateless instead": lambda: base().select("k"),
        "source added": lambda: base().select("k").union(env.events(EVENT, "more").select("k")).groupBy("k").
        count(),
        "more shuffle partitions": first,
    }
    env.write("in/0.json", [at("10:00"), at("10:00", "b")])
    env.directory("more")
    run(env, first(), "update", fmt="noop")
    env.write("in/1.json", [at("10:01")])
    told = {}
    for number, (name, build) in enumerate(changed.items()):
        shutil.copytree(env.scratch / "chk", env.scratch / f"chk-{number}")
        if name == "more shuffle partitions":
            spark.conf.set("spark.sql.shuffle.partitions", "5")
        told[name] = env.attempt(lambda: run(env, build(), "update", fmt="noop", chk=f"chk-{number}"))
    return told


@case(timeout_seconds=60)
def changes_that_go_on(spark, env):
    """A restart with another program whose state means the same: nothing is lost, nothing is counted twice."""
    marked = lambda delay="10 minutes": env.events(EVENT).withWatermark("ts", delay)
    counted = lambda df, name="n": df.groupBy(F.window("ts", "10 minutes"), "k").agg(F.count("*").alias(name))
    flat = lambda df: df.select("window.start", *df.columns[1:])
    programs = {
        "filter added": lambda: flat(counted(marked().where("v > 0"))),
        "column added below": lambda: flat(counted(marked().withColumn("x", F.col("v") * 2))),
        "column dropped above": lambda: counted(marked()).select("k", "n"),
        "another name": lambda: flat(counted(marked(), "m")),
        "longer delay": lambda: flat(counted(marked("30 minutes"))),
        "shorter delay": lambda: flat(counted(marked("1 minute"))),
        "projection below": lambda: flat(counted(marked().selectExpr("k", "ts", "v + 1 as v"))),
    }
    told = {}
    env.write("in/0.json", [at("10:01"), at("10:02", "b")])
    for number, name in enumerate(programs):
        run(env, flat(counted(marked())), out=f"out-{number}", chk=f"go-on-{number}")
    env.write("in/1.json", [at("10:05"), at("10:25"), at("10:26", v=0)])
    env.write("in/2.json", [at("10:06"), at("10:59")])
    for number, (name, build) in enumerate(programs.items()):
        told[name] = env.attempt(lambda: [
            run(env, build(), out=f"out-{number}", chk=f"go-on-{number}"), committed_lines(env, f"out-{number}")
        ])
    return told


@case(timeout_seconds=60)
def settings_that_change_between_runs(spark, env):
    """The checkpoint decides over partitions, policy and provider; modes and triggers are the new program's."""
    df = lambda: env.events(EVENT).withWatermark("ts", "10 minutes").groupBy(F.window("ts", "10 minutes")).count() \
        .select("window.start", "count")
    env.write("in/0.json", [at("10:01"), at("10:02", "b")])
    settings = {
        "partitions": ("spark.sql.shuffle.partitions", "5"),
        "policy": ("spark.sql.streaming.multipleWatermarkPolicy", "max"),
        "no-data batches": ("spark.sql.streaming.noDataMicroBatches.enabled", "false"),
        "provider": (
            "spark.sql.streaming.stateStore.providerClass",
            "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
        ),
    }
    names = [*settings, "update to append", "append to update"]
    mode = lambda name: "update" if name == "update to append" else "append"
    for number, name in enumerate(names):
        run(env, df(), mode(name), fmt="noop", chk=f"set-{number}")
    env.write("in/1.json", [at("10:05"), at("10:25")])
    told = {}
    for number, name in enumerate(names):
        key, value = settings.get(name, ("spark.sql.shuffle.partitions", "2"))
        spark.conf.set(key, value)
        after = "update" if name == "append to update" else "append"
        told[name] = env.attempt(lambda: run(env, df(), after, fmt="noop", chk=f"set-{number}"))
        spark.conf.unset(key)
        spark.conf.set("spark.sql.shuffle.partitions", "2")
    return told


def committed_lines(env, out: str):
    batches = env.committed(env.path(out))["batches"]
    return {batch: sorted(line for file in files for line in file["lines"]) for batch, files in batches.items()}


@case
def damaged_checkpoints(spark, env):
    df = lambda: env.events(EVENT).groupBy("k").count()
    env.write("in/0.json", [at("10:00")])
    run(env, df(), "update", fmt="noop")
    env.write("in/1.json", [at("10:01")])
    run(env, df(), "update", fmt="noop")
    damages = {
        "metadata removed": lambda c: (c / "metadata").unlink(),
        "state removed": lambda c: shutil.rmtree(c / "state"),
        "last offset removed": lambda c: (c / "offsets/1").unlink(),
        "offset emptied": lambda c: rewrite(c / "offsets/1", ""),
        "offset of a later version": lambda c: rewrite(c / "offsets/1", "v9\n{}\n{}"),
        "commit unreadable": lambda c: rewrite(c / "commits/1", "v1\nnot json"),
        "source log removed": lambda c: shutil.rmtree(c / "sources"),
        "metadata unreadable": lambda c: rewrite(c / "metadata", "oops"),
    }
    told = {}
    env.write("in/2.json", [at("10:02")])
    for number, (name, damage) in enumerate(damages.items()):
        copy = env.scratch / f"bad-{number}"
        shutil.copytree(env.scratch / "chk", copy)
        damage(copy)
        told[name] = env.attempt(lambda: run(env, df(), "update", fmt="noop", chk=copy.name))
    return told


def rewrite(path, text: str):
    path.write_text(text)
    path.with_name(f".{path.name}.crc").unlink(missing_ok=True)


@case
def default_location(spark, env):
    spark.conf.set("spark.sql.streaming.checkpointLocation", env.path("root"))
    env.write("in/0.json", [at("10:00")])
    query = env.events(EVENT).writeStream.format("noop").queryName("named").start()
    query.processAllAvailable()
    query.stop()
    return sorted(p.name for p in (env.scratch / "root/named").iterdir() if not p.name.startswith("."))
