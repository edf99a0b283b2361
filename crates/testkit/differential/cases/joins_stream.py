"""Stream-stream joins: matches, outer rows at eviction, state kept and dropped."""

from pyspark.sql.functions import col, expr, from_json, to_timestamp

from harness import case


def at(time: str, **fields):
    return {"t": f"2024-01-01T{time}:00Z", **fields}


def sides(env, *, delay: str | None = "10 minutes"):
    left = env.events("t timestamp, id int, v string", "left").selectExpr("t as lt", "id as lid", "v")
    right = env.events("t timestamp, id int, w string", "right").selectExpr("t as rt", "id as rid", "w")
    if delay:
        left, right = left.withWatermark("lt", delay), right.withWatermark("rt", delay)
    return left, right


RANGE = "lid = rid and rt between lt and lt + interval 5 minutes"
STEPS = [
    {"left": [at("10:00", id=1, v="a"), at("10:02", id=2, v="b")], "right": [at("10:03", id=1, w="x")]},
    {
        "right": [
            at("10:01", id=1, w="early"),
            at("10:06", id=2, w="y"),
            at("10:20", id=2, w="too late for b")
        ]
    },
    {"left": [at("10:30", id=3, v="c")], "right": [at("10:30", id=9, w="z")]},
    {"left": [at("10:01", id=1, v="late")], "right": [at("10:31", id=3, w="cc")]},
    {"left": [at("11:00", id=4, v="d")], "right": [at("11:00", id=4, w="dd")]},
]


@case(timeout_seconds=40)
def inner_without_watermark(spark, env):
    left, right = sides(env, delay=None)
    return env.run_stream(left.join(right, expr("lid = rid")), "append", STEPS)


@case(timeout_seconds=40)
def inner_with_range(spark, env):
    left, right = sides(env)
    return env.run_stream(left.join(right, expr(RANGE)), "append", STEPS)


@case(timeout_seconds=40)
def left_outer_with_range(spark, env):
    left, right = sides(env)
    return env.run_stream(left.join(right, expr(RANGE), "leftOuter"), "append", STEPS)


@case(timeout_seconds=40)
def right_outer_with_range(spark, env):
    left, right = sides(env)
    return env.run_stream(left.join(right, expr(RANGE), "rightOuter"), "append", STEPS)


@case(timeout_seconds=40)
def full_outer_with_range(spark, env):
    left, right = sides(env)
    return env.run_stream(left.join(right, expr(RANGE), "fullOuter"), "append", STEPS)


@case(timeout_seconds=40)
def left_semi_with_range(spark, env):
    left, right = sides(env)
    return env.run_stream(left.join(right, expr(RANGE), "leftSemi"), "append", STEPS)


@case(timeout_seconds=40)
def null_keys(spark, env):
    left, right = sides(env)
    return env.run_stream(
        left.join(right, expr(RANGE), "leftOuter"), "append", [
            {
                "left": [at("10:00", v="n")],
                "right": [at("10:01", w="n")]
            }, {"left": [at("11:00", id=1, v="a")], "right": [at("11:00", id=1, w="x")]}
        ]
    )


IMPRESSION = "InventoryID STRING, CreatedTime STRING, Campaigner STRING"
CLICK = "InventoryID STRING, CreatedTime STRING"


def impressions_and_clicks(env):
    """The notes' two streams; the bundled data calls their key InventoryID."""
    impressions = env.lines("impressions").select(from_json(col("value"), IMPRESSION).alias("value")) \
        .selectExpr("value.InventoryID as ImpressionID", "value.CreatedTime", "value.Campaigner") \
        .withColumn("ImpressionTime", to_timestamp(col("CreatedTime"), "yyyy-MM-dd HH:mm:ss")).drop("CreatedTime") \
        .withWatermark("ImpressionTime", "30 minute")
    clicks = env.lines("clicks").select(from_json(col("value"), CLICK).alias("value")) \
        .selectExpr("value.InventoryID as ClickID", "value.CreatedTime") \
        .withColumn("ClickTime", to_timestamp(col("CreatedTime"), "yyyy-MM-dd HH:mm:ss")).drop("CreatedTime") \
        .withWatermark("ClickTime", "30 minute")
    return impressions, clicks


def bundled_steps(env, name: str):
    """Blank and dashed lines separate what is sent in one go; impressions name a campaigner."""
    steps, current = [], {}
    for line in (env.data / name).read_text().splitlines() + [""]:
        if not line.strip() or line.startswith("-"):
            if current:
                steps.append(current)
            current = {}
        else:
            current.setdefault("impressions" if "Campaigner" in line else "clicks", []).append(line)
    return steps


@case(timeout_seconds=40)
def impressions_and_clicks_inner(spark, env):
    impressions, clicks = impressions_and_clicks(env)
    return env.run_stream(
        impressions.join(clicks, expr("ImpressionID == ClickID"), "inner"), "append",
        bundled_steps(env, "impressions-clicks-inner.txt")
    )


@case(timeout_seconds=40)
def impressions_and_clicks_watermark(spark, env):
    impressions, clicks = impressions_and_clicks(env)
    return env.run_stream(
        impressions.join(clicks, expr("ImpressionID == ClickID"), "inner"), "append",
        bundled_steps(env, "impressions-clicks-watermark.txt")
    )


@case(timeout_seconds=40)
def impressions_and_clicks_outer(spark, env):
    impressions, clicks = impressions_and_clicks(env)
    on = "ImpressionID == ClickID AND ClickTime BETWEEN ImpressionTime AND ImpressionTime + interval 15 minute"
    return env.run_stream(
        impressions.join(clicks, expr(on), "leftOuter"), "append",
        bundled_steps(env, "impressions-clicks-outer.txt")
    )
