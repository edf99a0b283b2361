"""Stream-stream joins: what bounds state, when rows leave it, what the condition and NULLs do."""

from pyspark.sql.functions import col, expr, window

from harness import case, streams


def at(time: str | None, **fields):
    return {"t": time and f"2024-01-01T{time}:00Z", **fields}


def side(env, prefix: str, delay: str | None = "10 minutes", directory: str | None = None):
    events = env.events("t timestamp, id int, v string", directory or prefix)
    side = events.selectExpr(f"t as {prefix}t", f"id as {prefix}id", f"v as {prefix}v")
    return side.withWatermark(f"{prefix}t", delay) if delay else side


def sides(env, **options):
    return side(env, "l", **options), side(env, "r", **options)


def both(time: str, key: int = 99):
    """Rows that move the watermark of both sides and match nothing else."""
    return {"l": [at(time, id=key, v="tick")], "r": [at(time, id=-key, v="tock")]}


STEPS = [
    {"l": [at("10:00", id=1, v="a"), at("10:02", id=2, v="b"), at("10:04", id=1, v="c")],
     "r": [at("10:03", id=1, v="x"), at("10:03", id=1, v="y")]},
    {"l": [at("10:05", id=2, v="d")], "r": [at("10:05", id=2, v="z"), at("10:10", id=1, v="w")]},
    both("10:20"),
    {"l": [at("10:08", id=1, v="late"), at("10:12", id=1, v="e")], "r": [at("10:09", id=2, v="late"), at("10:16", id=1, v="u")]},
    both("10:40"),
    both("11:10"),
]

CONDITIONS = [
    "lid = rid",
    "lid = rid and lt > rt",
    "lid = rid and rt >= lt - interval 4 minutes",
    "lid = rid and rt < lt + interval 3 minutes and rt >= lt",
    "lid = rid and lt between rt - interval 2 minutes and rt + interval 2 minutes",
    "lid = rid and cast(rt as long) - cast(lt as long) <= 300 and rt >= lt",
    "lid = rid and not (rt < lt) and rt <= lt + interval 90 seconds",
    "lid = rid and (rt > lt or lv = 'c')",
    "lid = rid and rt <= lt + make_interval(0, 0, 0, 0, 0, 3, 0)",
]


@case(timeout_seconds=120)
def conditions_inner(spark, env):
    left, right = sides(env)
    return {c: again(env, left.join(right, expr(c)), "append", STEPS) for c in CONDITIONS}


def again(env, df, mode, steps):
    """A run over directories that the run before has left empty."""
    for directory in {d for step in steps for d in step}:
        for file in env.scratch.joinpath(directory).glob("step-*"):
            file.unlink()
    return env.run_stream(df, mode, steps)


@case(timeout_seconds=120)
def conditions_outer(spark, env):
    left, right = sides(env)
    return {
        f"{how}: {c}": again(env, left.join(right, expr(c), how), "append", STEPS)
        for how, c in [
            ("leftOuter", CONDITIONS[2]), ("rightOuter", CONDITIONS[1]), ("fullOuter", CONDITIONS[3]),
            ("leftSemi", CONDITIONS[4]), ("leftOuter", CONDITIONS[5]), ("fullOuter", CONDITIONS[4]),
        ]
    }


WINDOWED = [
    {"l": [at("10:01", id=1, v="a"), at("10:02", id=2, v="b")], "r": [at("10:04", id=1, v="x")]},
    {"l": [at("10:07", id=1, v="c")], "r": [at("10:03", id=2, v="y"), at("10:12", id=3, v="z")]},
    both("10:20"),
    {"l": [at("10:04", id=1, v="late"), at("10:11", id=3, v="d")], "r": [at("10:11", id=4, v="u")]},
    both("10:40"),
]


@case(timeout_seconds=90)
def window_keys(spark, env):
    left, right = sides(env)
    left = left.select(window("lt", "5 minutes").alias("w"), "lid", "lv")
    right = right.select(window("rt", "5 minutes").alias("w"), col("rid").alias("lid"), "rv")
    return {
        how: again(env, left.join(right, ["w", "lid"], how).selectExpr("string(w)", "lid", "*").drop("w"), "append", WINDOWED)
        for how in ("inner", "leftOuter", "rightOuter", "fullOuter", "leftSemi")
    }


@case(timeout_seconds=60)
def event_time_as_key(spark, env):
    left, right = sides(env)
    return {
        how: again(env, left.join(right, expr("lt = rt and lid = rid"), how), "append", [
            {"l": [at("10:00", id=1, v="a"), at("10:02", id=2, v="b")], "r": [at("10:00", id=1, v="x"), at("10:03", id=2, v="y")]},
            both("10:12"),
            {"l": [at("10:02", id=3, v="late"), at("10:03", id=2, v="c")], "r": [at("10:02", id=2, v="late")]},
            both("10:30"),
        ])
        for how in ("inner", "leftOuter", "fullOuter")
    }


@case(timeout_seconds=60)
def event_time_as_key_tagged_on_one_side(spark, env):
    left, right = side(env, "l"), side(env, "r", delay=None)
    return {
        how: again(env, left.join(right, expr("lt = rt and lid = rid"), how), "append", [
            {"l": [at("10:00", id=1, v="a"), at("10:02", id=2, v="b")], "r": [at("10:00", id=1, v="x"), at("10:03", id=2, v="y")]},
            both("10:12"),
            {"l": [at("10:02", id=3, v="late"), at("10:03", id=2, v="c")], "r": [at("10:02", id=2, v="old")]},
            both("10:30"),
        ])
        for how in ("inner", "rightOuter")
    }


RANGE = "lid = rid and rt between lt and lt + interval 5 minutes"


@case(timeout_seconds=90)
def filters_of_one_side(spark, env):
    left, right = sides(env)
    steps = [
        {"l": [at("10:00", id=1, v="a"), at("10:01", id=1, v="b")], "r": [at("10:02", id=1, v="x"), at("10:03", id=1, v="y")]},
        both("10:20"), both("10:40"),
    ]
    return {
        f"{how}: {more}": again(env, left.join(right, expr(f"{RANGE} and {more}"), how), "append", steps)
        for how, more in [
            ("inner", "lv = 'a'"), ("leftOuter", "lv = 'a'"), ("leftOuter", "rv = 'x'"), ("rightOuter", "lv = 'a'"),
            ("rightOuter", "rv = 'x'"), ("fullOuter", "lv = 'a' and rv = 'x'"), ("leftSemi", "lv = 'a' and rv = 'x'"),
            ("leftOuter", "lv < rv and lv <> 'b'"), ("fullOuter", "concat(lv, rv) <> 'ax'"),
        ]
    }


@case(timeout_seconds=90)
def filters_above_the_join(spark, env):
    left, right = sides(env)
    steps = [
        {"l": [at("10:00", id=1, v="a"), at("10:01", id=1, v="b")], "r": [at("10:02", id=1, v="x"), at("10:09", id=1, v="y")]},
        both("10:20"), both("10:40"),
    ]
    outer = left.join(right, expr(RANGE), "leftOuter")
    return {
        "range": again(env, left.join(right, expr("lid = rid")).where("rt between lt and lt + interval 5 minutes"), "append", steps),
        "one side": again(env, left.join(right, expr(RANGE)).where("lv = 'a'"), "append", steps),
        "wants a match": again(env, outer.where("rv = 'x'"), "append", steps),
        "wants no match": again(env, outer.where("rv is null"), "append", steps),
        "through a select": again(
            env, left.join(right, expr("lid = rid")).select("lt", "rt", (col("lid") + 1).alias("n"))
            .where("rt between lt and lt + interval 5 minutes and n = 2"), "append", steps),
    }


NULLS = [
    {"l": [at("10:00", v="n"), at("10:00", id=1, v="a"), at(None, id=1, v="timeless")],
     "r": [at("10:01", v="n"), at("10:01", id=1, v="x"), at(None, id=1, v="timeless")]},
    both("10:30"), both("11:00"),
]


@case(timeout_seconds=90)
def nulls(spark, env):
    left, right = sides(env)
    told = {
        how: again(env, left.join(right, expr(RANGE), how), "append", NULLS)
        for how in ("inner", "leftOuter", "rightOuter", "fullOuter", "leftSemi")
    }
    safe = RANGE.replace("lid = rid", "lid <=> rid")
    told["null safe"] = again(env, left.join(right, expr(safe)), "append", NULLS)
    told["null safe, full"] = again(env, left.join(right, expr(safe), "fullOuter"), "append", NULLS)
    told["no range"] = again(env, left.join(right, expr("lid = rid")), "append", NULLS)
    return told


@case(timeout_seconds=60)
def semi_join_details(spark, env):
    left, right = sides(env)
    return env.run_stream(left.join(right, expr(RANGE), "leftSemi"), "append", [
        {"l": [at("10:00", id=1, v="a"), at("10:00", id=1, v="a")], "r": []},
        {"l": [at("10:01", id=1, v="b")], "r": [at("10:02", id=1, v="x"), at("10:03", id=1, v="y")]},
        {"l": [at("10:02", id=1, v="c")], "r": [at("10:04", id=2, v="z")]},
        {"l": [at("10:09", id=2, v="d"), at("10:03", id=2, v="e")], "r": [at("10:20", id=9, v="t")]},
        {"l": [at("10:30", id=8, v="t")], "r": [at("10:30", id=9, v="t")]},
    ])


@case(timeout_seconds=60)
def late_rows_of_each_side(spark, env):
    left, right = side(env, "l", delay="1 minutes"), side(env, "r", delay="10 minutes")
    return {
        how: again(env, left.join(right, expr("lid = rid and rt between lt - interval 5 minutes and lt + interval 5 minutes"), how), "append", [
            both("10:30"),
            {"l": [at("10:20", id=1, v="at the watermark"), at("10:21", id=1, v="a")]},
            {"r": [at("10:20", id=1, v="at the watermark"), at("10:21", id=1, v="x"), at("10:15", id=1, v="y")]},
            both("10:50"),
            {"l": [at("10:30", id=1, v="late")], "r": [at("10:41", id=1, v="z")]},
            both("11:20"),
        ])
        for how in ("inner", "leftOuter", "fullOuter")
    }


@case(timeout_seconds=60)
def rows_that_go_in_the_batch_they_come(spark, env):
    """Not late, but too old to match what is still to come."""
    left, right = side(env, "l"), side(env, "r")
    condition = "lid = rid and lt >= rt + interval 20 minutes and lt <= rt + interval 30 minutes"
    steps = [
        both("10:30"),
        {"l": [at("10:25", id=1, v="a"), at("10:45", id=1, v="b")], "r": [at("10:22", id=1, v="x"), at("10:21", id=3, v="y")]},
        {"l": [at("10:43", id=1, v="c")], "r": [at("10:30", id=1, v="z")]},
        both("11:00"), both("11:30"),
    ]
    return {
        how: again(env, left.join(right, expr(condition), how), "append", steps)
        for how in ("inner", "leftOuter", "rightOuter", "fullOuter", "leftSemi")
    }


@case(timeout_seconds=60)
def self_join(spark, env):
    events = env.events("t timestamp, id int, v string", "in").withWatermark("t", "10 minutes")
    joined = events.alias("a").join(
        events.alias("b"), expr("a.id = b.id and b.t > a.t and b.t <= a.t + interval 5 minutes")
    ).selectExpr("a.t as at", "a.id as id", "a.v as av", "b.t as bt", "b.v as bv")
    return env.run_stream(joined, "append", [
        [at("10:00", id=1, v="a"), at("10:02", id=1, v="b")],
        [at("10:04", id=1, v="c"), at("10:01", id=2, v="d")],
        [at("10:30", id=3, v="e")],
        [at("10:05", id=1, v="late"), at("10:31", id=3, v="f")],
    ])


@case(timeout_seconds=60)
def join_of_joins(spark, env):
    left, right = sides(env)
    third = side(env, "s")
    one = left.join(right, expr(RANGE)).drop("rt")
    steps = [
        {"l": [at("10:00", id=1, v="a")], "r": [at("10:01", id=1, v="x")], "s": [at("10:02", id=1, v="s")]},
        {"l": [at("10:03", id=1, v="b")], "r": [at("10:05", id=1, v="y")], "s": [at("10:04", id=2, v="q")]},
        {**both("10:30"), "s": [at("10:30", id=98, v="p")]},
        {**both("11:00"), "s": [at("11:00", id=98, v="p")]},
    ]
    return {
        "inner": again(env, one.join(third, expr("lid = sid and st between lt and lt + interval 10 minutes")), "append", steps),
        "outer": again(env, one.join(third, expr("lid = sid and st between lt and lt + interval 10 minutes"), "leftOuter"), "append", steps),
        "two event times": again(env, left.join(right, expr(RANGE)).join(third, expr("lid = sid and st >= rt and st >= lt")), "append", steps),
    }


@case(timeout_seconds=60)
def join_then_window(spark, env):
    left, right = sides(env)
    steps = [
        {"l": [at("10:00", id=1, v="a"), at("10:06", id=2, v="b")], "r": [at("10:04", id=1, v="x"), at("10:09", id=2, v="y")]},
        both("10:20"), both("10:24"), both("10:27"), both("10:40"),
    ]
    return {
        how: again(
            env, left.join(right, expr(RANGE), how).groupBy(window("lt", "5 minutes")).count()
            .selectExpr("string(window.start) as start", "count"), "append", steps)
        for how in ("inner", "leftOuter")
    }


@case(timeout_seconds=60)
def update_mode(spark, env):
    left, right = sides(env)
    return {how: again(env, left.join(right, expr(RANGE), how), "update", STEPS) for how in ("inner", "leftSemi")}


@case(timeout_seconds=60)
def key_expressions_and_using(spark, env):
    left, right = sides(env)
    steps = [
        {"l": [at("10:00", id=1, v="A"), at("10:01", id=2, v="b")], "r": [at("10:02", id=2, v="a"), at("10:02", id=2, v="B")]},
        both("10:40"),
    ]
    named = right.withColumnRenamed("rid", "lid")
    return {
        "expressions": again(env, left.join(right, expr("lower(lv) = lower(rv) and lid + 1 = rid")), "append", steps),
        "types": again(env, left.join(right, expr("lid = cast(rid as bigint)")), "append", steps),
        "one column twice": again(env, left.join(right, expr("lid = rid and lid + 0 = rid")), "append", steps),
        "using": again(env, left.join(named, "lid"), "append", steps),
        "constant key": again(env, left.join(right, expr("lid = rid and lid = 2")), "append", steps),
    }


@case(timeout_seconds=60)
def event_time_that_nobody_reads(spark, env):
    """A column that is pruned filters no late rows."""
    left, right = sides(env)
    return env.run_stream(left.join(right, expr("lid = rid")).select("lv", "rv"), "append", [
        {"l": [at("10:00", id=1, v="a")], "r": [at("10:00", id=1, v="x")]},
        both("10:40"),
        {"l": [at("10:01", id=1, v="old")], "r": [at("10:01", id=1, v="old")]},
    ])


@case(timeout_seconds=60)
def restart_in_the_middle(spark, env):
    left, right = sides(env)
    told = []
    for how in ("leftOuter", "fullOuter", "leftSemi"):
        joined = left.join(right, expr(RANGE), how)
        for number, step in enumerate(STEPS):
            for directory, rows in step.items():
                env.write(f"{directory}/{how}-{number}.json", rows)
            query = joined.writeStream.format("json").option("path", env.path(f"out-{how}")) \
                .option("checkpointLocation", env.path(f"checkpoint-{how}")).start()
            try:
                query.processAllAvailable()
                told.append([how, *streams.batches(query, set())])
            finally:
                query.stop()
        batches = env.committed(env.path(f"out-{how}"))["batches"]
        told.append({batch: sorted(line for file in files for line in file["lines"]) for batch, files in batches.items()})
        for directory in ("l", "r"):
            for file in env.scratch.joinpath(directory).glob("*.json"):
                file.unlink()
    return told
