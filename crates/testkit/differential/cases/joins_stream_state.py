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

def runs(prefix: str, joins: dict, steps, mode: str = "append"):
    """A case per join: its own query over its own directories."""
    for name, join in joins.items():
        def run(spark, env, join=join):
            return env.run_stream(join(env), mode, steps)

        run.__name__ = f"{prefix}_{name}"
        case(timeout_seconds=60)(run)


def joined(condition: str, how: str = "inner", **options):
    """Both sides joined by a condition."""
    def join(env):
        left, right = sides(env, **options)
        return left.join(right, expr(condition), how)

    return join


RANGE = "lid = rid and rt between lt and lt + interval 5 minutes"
TYPES = {"inner": "inner", "left": "leftOuter", "right": "rightOuter", "full": "fullOuter", "semi": "leftSemi"}


def by_type(condition: str, types=tuple(TYPES)):
    return {how: joined(condition, TYPES[how]) for how in types}


runs("condition", {
    "keys_only": joined("lid = rid"),
    "strict": joined("lid = rid and lt > rt"),
    "one_sided": joined("lid = rid and rt >= lt - interval 4 minutes"),
    "half_open": joined("lid = rid and rt < lt + interval 3 minutes and rt >= lt"),
    "around": joined("lid = rid and lt between rt - interval 2 minutes and rt + interval 2 minutes"),
    "in_seconds": joined("lid = rid and cast(rt as long) - cast(lt as long) <= 300 and rt >= lt"),
    "negated": joined("lid = rid and not (rt < lt) and rt <= lt + interval 90 seconds"),
    "disjunction": joined("lid = rid and (rt > lt or lv = 'c')"),
    "difference": joined("lid = rid and rt - lt <= interval 3 minutes and rt >= lt"),
    "left_bounded": joined("lid = rid and rt <= lt + interval 3 minutes", "leftOuter"),
    "right_bounded": joined("lid = rid and lt <= rt + interval 3 minutes", "rightOuter"),
    "around_full": joined("lid = rid and lt between rt - interval 2 minutes and rt + interval 2 minutes", "fullOuter"),
    "around_semi": joined("lid = rid and lt between rt - interval 2 minutes and rt + interval 2 minutes", "leftSemi"),
}, STEPS)

runs("update_mode", by_type(RANGE, ("inner", "semi")), STEPS, "update")


# Of a side that the join preserves, a comparison stays in the condition. One with a number bounds the state as if the number were
# a time; one with a timestamp, or what is more than a sum, does not.
OWN_COMPARISONS = {
    "number": "lid > 0", "negated_number": "-lid <= 7", "sum": "lid + 5 >= 5", "columns": "lid * 2 > 0",
    "upper_bound": "lid < 9", "timestamp": "lt > timestamp '2020-01-01 00:00:00'",
    "seconds": "lid > -1704103560", "string": "lv > 'A'",
}
runs("own_comparison_left", {
    name: joined(f"{RANGE} and {comparison}", "leftOuter") for name, comparison in OWN_COMPARISONS.items()
}, STEPS)
runs("own_comparison_full", {
    "number": joined(f"{RANGE} and rid > 0", "fullOuter"),
}, STEPS)


def above_a_bounded_join(env):
    """What is above a join that keeps rows for ever has no watermark that moves."""
    return joined(f"{RANGE} and lid > 0", "leftOuter")(env).groupBy(window("lt", "10 minutes"), "lid").count()


runs("own_comparison_below", {"an_aggregation": above_a_bounded_join}, STEPS)


def windowed(how: str):
    def join(env):
        left, right = sides(env)
        left = left.select(window("lt", "5 minutes").alias("w"), "lid", "lv")
        right = right.select(window("rt", "5 minutes").alias("w"), col("rid").alias("lid"), "rv")
        kept = ("lv",) if how == "leftSemi" else ("lv", "rv")
        return left.join(right, ["w", "lid"], how).selectExpr("w.start", "w.end", "lid", *kept)

    return join


runs("window_key", {name: windowed(how) for name, how in TYPES.items()}, [
    {"l": [at("10:01", id=1, v="a"), at("10:02", id=2, v="b")], "r": [at("10:04", id=1, v="x")]},
    {"l": [at("10:07", id=1, v="c")], "r": [at("10:03", id=2, v="y"), at("10:12", id=3, v="z")]},
    both("10:20"),
    {"l": [at("10:04", id=1, v="late"), at("10:11", id=3, v="d")], "r": [at("10:11", id=4, v="u")]},
    both("10:40"),
])

KEYED = [
    {"l": [at("10:00", id=1, v="a"), at("10:02", id=2, v="b")], "r": [at("10:00", id=1, v="x"), at("10:03", id=2, v="y")]},
    both("10:12"),
    {"l": [at("10:02", id=3, v="late"), at("10:03", id=2, v="c")], "r": [at("10:02", id=2, v="late")]},
    both("10:30"),
]
runs("event_time_key", by_type("lt = rt and lid = rid", ("inner", "left", "full")), KEYED)


def half_tagged(how: str):
    def join(env):
        left, right = side(env, "l"), side(env, "r", delay=None)
        return left.join(right, expr("lt = rt and lid = rid"), how)

    return join


runs("event_time_key_of_one_side", {name: half_tagged(TYPES[name]) for name in ("inner", "right")}, KEYED)


def one_watermark(tagged: str, how: str, *, deduplicated=()):
    """A range over two event times of which one alone has a watermark; `deduplicated`: sides, and "above"."""
    def join(env):
        left, right = (side(env, name, delay="10 minutes" if name == tagged else None) for name in "lr")
        left = left.dropDuplicates(["lid", "lt", "lv"]) if "l" in deduplicated else left
        right = right.dropDuplicates(["rid", "rt", "rv"]) if "r" in deduplicated else right
        df = left.join(right, expr(RANGE), how)
        return df.dropDuplicates(["lid", "rt"]).select("lid", "rt") if "above" in deduplicated else df

    return join


# Spark takes outer joins whose range would do if both sides had a watermark. With one alone no row ever leaves state: the side
# that has it waits for the other's, the side without it has no time to leave by. Rows without a match are never told.
runs("range_with_the_left_watermark", {name: one_watermark("l", TYPES[name]) for name in ("inner", "right", "full")}, STEPS)
runs("range_with_the_right_watermark", {name: one_watermark("r", TYPES[name]) for name in ("left", "full", "semi")}, STEPS)
runs("range_with_the_left_watermark_full", {
    "deduplicated": one_watermark("l", "fullOuter", deduplicated=["above"]),
    "of_deduplicated_sides": one_watermark("l", "fullOuter", deduplicated=["l", "r", "above"]),
}, STEPS)

FILTERED = [
    {"l": [at("10:00", id=1, v="a"), at("10:01", id=1, v="b")], "r": [at("10:02", id=1, v="x"), at("10:03", id=1, v="y")]},
    both("10:20"), both("10:40"),
]
# Filters let the rows that move the watermark pass: a file without input may have a batch of its own.
runs("filter", {
    "of_the_left_inner": joined(f"{RANGE} and lv <> 'b'"),
    "of_the_left_left": joined(f"{RANGE} and lv <> 'b'", "leftOuter"),
    "of_the_right_left": joined(f"{RANGE} and rv <> 'y'", "leftOuter"),
    "of_the_left_right": joined(f"{RANGE} and lv <> 'b'", "rightOuter"),
    "of_both_full": joined(f"{RANGE} and lv <> 'b' and rv <> 'y'", "fullOuter"),
    "of_both_semi": joined(f"{RANGE} and lv <> 'b' and rv <> 'y'", "leftSemi"),
    "of_pairs_left": joined(f"{RANGE} and concat(lv, rv) < 'b'", "leftOuter"),
    "of_pairs_full": joined(f"{RANGE} and concat(lv, rv) <> 'ax'", "fullOuter"),
    "above_range": lambda env: joined("lid = rid")(env).where("rt between lt and lt + interval 5 minutes"),
    "above_one_side": lambda env: joined(RANGE)(env).where("lv <> 'b'"),
    "above_wants_a_match": lambda env: joined(RANGE, "leftOuter")(env).where("rv <> 'y'"),
    "above_wants_no_match": lambda env: joined(RANGE, "leftOuter")(env).where("rv is null"),
    "above_through_a_select": lambda env: joined("lid = rid")(env).selectExpr("lt", "rt", "lid + 1 as n")
    .where("rt between lt and lt + interval 5 minutes and n = 2"),
}, FILTERED)

NULLS = [
    {"l": [at("10:00", v="n"), at("10:00", id=1, v="a"), at(None, id=1, v="timeless")],
     "r": [at("10:01", v="n"), at("10:01", id=1, v="x"), at(None, id=1, v="timeless")]},
    both("10:30"), both("11:00"),
]
SAFE = RANGE.replace("lid = rid", "lid <=> rid")
runs("nulls", {
    **by_type(RANGE),
    "safe": joined(SAFE), "safe_full": joined(SAFE, "fullOuter"), "without_range": joined("lid = rid"),
}, NULLS)

runs("semi", {"details": joined(RANGE, "leftSemi")}, [
    {"l": [at("10:00", id=1, v="a"), at("10:00", id=1, v="a")]},
    {"l": [at("10:01", id=1, v="b")], "r": [at("10:02", id=1, v="x"), at("10:03", id=1, v="y")]},
    {"l": [at("10:02", id=1, v="c")], "r": [at("10:04", id=2, v="z")]},
    {"l": [at("10:09", id=2, v="d"), at("10:03", id=2, v="e")], "r": [at("10:20", id=9, v="t")]},
    {"l": [at("10:30", id=8, v="t")], "r": [at("10:30", id=9, v="t")]},
])


def unequal_delays(how: str):
    def join(env):
        left, right = side(env, "l", delay="1 minutes"), side(env, "r", delay="10 minutes")
        return left.join(right, expr("lid = rid and rt between lt - interval 5 minutes and lt + interval 5 minutes"), how)

    return join


runs("late_rows", {name: unequal_delays(TYPES[name]) for name in ("inner", "left", "full")}, [
    both("10:30"),
    {"l": [at("10:20", id=1, v="at the watermark"), at("10:21", id=1, v="a")]},
    {"r": [at("10:20", id=1, v="at the watermark"), at("10:21", id=1, v="x"), at("10:15", id=1, v="y")]},
    both("10:50"),
    {"l": [at("10:30", id=1, v="late")], "r": [at("10:41", id=1, v="z")]},
    both("11:20"),
])

# Not late, but too old to match what is still to come.
runs("gone_at_once", by_type("lid = rid and lt >= rt + interval 20 minutes and lt <= rt + interval 30 minutes"), [
    both("10:30"),
    {"l": [at("10:25", id=1, v="a"), at("10:45", id=1, v="b")], "r": [at("10:22", id=1, v="x"), at("10:21", id=3, v="y")]},
    {"l": [at("10:43", id=1, v="c")], "r": [at("10:30", id=1, v="z")]},
    both("11:00"), both("11:30"),
])


@case(timeout_seconds=60)
def self_join(spark, env):
    events = env.events("t timestamp, id int, v string", "in").withWatermark("t", "10 minutes")
    pairs = events.alias("a").join(
        events.alias("b"), expr("a.id = b.id and b.t > a.t and b.t <= a.t + interval 5 minutes")
    ).selectExpr("a.t as at", "a.id as id", "a.v as av", "b.t as bt", "b.v as bv")
    return env.run_stream(pairs, "append", [
        [at("10:00", id=1, v="a"), at("10:02", id=1, v="b")],
        [at("10:04", id=1, v="c"), at("10:01", id=2, v="d")],
        [at("10:30", id=3, v="e")],
        [at("10:05", id=1, v="late"), at("10:31", id=3, v="f")],
    ])


def chained(how: str):
    def join(env):
        one = joined(RANGE)(env).drop("rt")
        return one.join(side(env, "s"), expr("lid = sid and st between lt and lt + interval 10 minutes"), how)

    return join


runs("join_of_joins", {
    "inner": chained("inner"),
    "left": chained("leftOuter"),
    "two_event_times": lambda env: joined(RANGE)(env).join(side(env, "s"), expr("lid = sid and st >= rt and st >= lt")),
}, [
    {"l": [at("10:00", id=1, v="a")], "r": [at("10:01", id=1, v="x")], "s": [at("10:02", id=1, v="s")]},
    {"l": [at("10:03", id=1, v="b")], "r": [at("10:05", id=1, v="y")], "s": [at("10:04", id=2, v="q")]},
    {**both("10:30"), "s": [at("10:30", id=98, v="p")]},
    {**both("11:00"), "s": [at("11:00", id=98, v="p")]},
])


def counted(how: str):
    return lambda env: joined(RANGE, how)(env).groupBy(window("lt", "5 minutes")).count() \
        .selectExpr("window.start", "count")


runs("join_then_window", {"inner": counted("inner"), "left": counted("leftOuter")}, [
    {"l": [at("10:00", id=1, v="a"), at("10:06", id=2, v="b")], "r": [at("10:04", id=1, v="x"), at("10:09", id=2, v="y")]},
    both("10:20"), both("10:24"), both("10:27"), both("10:40"),
])


def using(env):
    left, right = sides(env)
    return left.join(right.withColumnRenamed("rid", "lid"), "lid")


runs("keys", {
    "that_are_expressions": joined("lower(lv) = lower(rv) and lid + 1 = rid"),
    "of_two_types": joined("lid = cast(rid as bigint)"),
    "with_one_column_twice": joined("lid = rid and lid + 0 = rid"),
    "equal_to_a_constant": joined("lid = rid and lid = 2"),
    "by_using": using,
}, [
    {"l": [at("10:00", id=1, v="A"), at("10:01", id=2, v="b")], "r": [at("10:02", id=2, v="a"), at("10:02", id=2, v="B")]},
    both("10:40"),
])

# A column that is pruned filters no late rows.
runs("event_time", {"that_nobody_reads": lambda env: joined("lid = rid")(env).select("lv", "rv")}, [
    {"l": [at("10:00", id=1, v="a")], "r": [at("10:00", id=1, v="x")]},
    both("10:40"),
    {"l": [at("10:01", id=1, v="old")], "r": [at("10:01", id=1, v="old")]},
])


def restarted(how: str):
    def run(spark, env):
        told = []
        for number, step in enumerate(STEPS):
            for directory, rows in step.items():
                env.write(f"{directory}/{number}.json", rows)
            left, right = sides(env)
            writer = left.join(right, expr(RANGE), how).writeStream.format("json").option("path", env.path("out"))
            query = writer.option("checkpointLocation", env.path("checkpoint")).start()
            try:
                query.processAllAvailable()
                told.append(streams.batches(query, set()))
            finally:
                query.stop()
        batches = env.committed(env.path("out"))["batches"]
        lines = {batch: sorted(line for file in files for line in file["lines"]) for batch, files in batches.items()}
        return {"progress": told, "rows": lines}

    run.__name__ = f"restarts_{how}"
    case(timeout_seconds=90)(run)


for how in ("leftOuter", "fullOuter", "leftSemi"):
    restarted(how)
