"""Random streaming programs of the second generation: an origin, up to two stateful operators, and how the whole is run.

    origin                    operators                              run
    a source             ┐    window  aggregate  grouping sets  ┐    step by step into memory       append
    two joined streams   ├──► session dedup distinct limit      ├──► all at once, so many files a   update
    a union of streams   │    static join                       │    batch; or started anew for     complete
    a stream and a table ┘    (each drawn from these, chained)  ┘    every step, into JSON files

What an origin and every operator but the last hands on has the columns `t` (event time), `k` and `v`, so that anything can
follow anything. Most of what is drawn is a query that Spark runs; what it refuses is as good an answer.

A seed's draws are those of `random.Random(seed)` in the order of this text. Changing anything here changes the programs, and
every answer must be recorded again. The same text builds the batch query over the same input, see `prefix_check.py`.
"""

import random
import re
from dataclasses import dataclass, field

from pyspark.sql.functions import col, expr, session_window, window

EVENT = "t timestamp, k string, v int, g string, u timestamp, d decimal(8,2)"
POLICY = "spark.sql.streaming.multipleWatermarkPolicy"
NO_DATA = "spark.sql.streaming.noDataMicroBatches.enabled"
CORRECTNESS = "spark.sql.streaming.statefulOperator.checkCorrectness.enabled"


def often(draw, probability: float) -> bool:
    return draw.random() < probability


@dataclass
class Query:
    """What has been built so far, and what is known of it."""

    df: object
    told: list[str]
    # Columns that identify a row of the last aggregation's output; None if it is none.
    keys: list[str] | None = None
    stateful: int = 0
    # What makes the answer something else than a batch query's: "within watermark", "limit", "having", "one watermark".
    caveats: set[str] = field(default_factory=set)
    # Whether rows come in the order of one file, so that it is known which of several is the first.
    ordered: bool = False

    def then(self, df, what: str, *, keys=None, stateful: int = 1) -> "Query":
        return Query(df, [*self.told, what], keys, self.stateful + stateful, self.caveats)


# ---- input ----------------------------------------------------------------------------------------------


def steps(draw, inputs: list[str], lateness: str = "late") -> list[dict]:
    """The rows of each step, by input. Of `lateness` see `minute_of`."""
    told, earlier = [], {name: [] for name in inputs}
    for step in range(draw.randint(3, 6)):
        named = draw.sample(inputs, draw.randint(1, len(inputs)))
        told.append({name: events(draw, step, earlier[name], lateness) for name in named})
    return told


def events(draw, step: int, earlier: list, lateness: str) -> list[dict]:
    rows = []
    for _ in range(draw.randint(0, 8)):
        repeated = often(draw, 0.12) and earlier and lateness != "none"
        rows.append(draw.choice(earlier) if repeated else event(draw, step, lateness))
    earlier.extend(rows)
    return rows


def event(draw, step: int, lateness: str) -> dict:
    minute = minute_of(draw, step, lateness)
    row = {
        "t": clock(minute, draw.choice([0, 0, 30])), "k": draw.choice("abc"), "v": draw.randint(-3, 9),
        "g": draw.choice(["x", "y", "X ", ""]), "u": clock(max(0, minute - draw.choice([0, 1, 5])), 0),
        "d": draw.randint(-500, 500) / 100,
    }
    for name in row:
        if often(draw, 0.06) and (lateness == "late" or name not in "tu"):
            row[name] = None
    return {name: content for name, content in row.items() if content is not None or often(draw, 0.5)}


def minute_of(draw, step: int, lateness: str) -> int:
    """"late": some rows come late, some too late; "none": every step is after all of the step before."""
    if lateness == "none":
        return step * 40 + draw.randint(6, 36)
    minute = step * 25 + draw.randint(0, 30)
    return draw.randint(0, minute) if often(draw, 0.25) else minute


def clock(minute: int, second: int) -> str:
    return f"2024-01-01T{10 + minute // 60:02}:{minute % 60:02}:{second:02}Z"


# ---- origins --------------------------------------------------------------------------------------------


def later(df):
    """A computed column has no watermark."""
    return df.withColumn("t", expr("t + interval 90 seconds"))


STATELESS = [
    lambda df: df.filter("v > 0"),
    lambda df: df.filter("k is not null"),
    lambda df: df.filter("k <> 'c' or v is null"),
    lambda df: df.filter("t >= timestamp '2024-01-01 10:10:00' or g = 'x'"),
    lambda df: df.filter("v in (1, 2, 3, 5, 9) or k = 'a'"),
    lambda df: df.withColumn("v", col("v") * 2 - 1),
    lambda df: df.withColumn("k", expr("upper(coalesce(k, g, 'none'))")),
    lambda df: df.withColumn("k", expr("case when v > 4 then 'big' else k end")),
    lambda df: df.select("v", "d", "t", "k", "u", "g"),
    later,
    lambda df: df.withColumn("v", expr("explode(array(v, v + 1))")),
    lambda df: df.withColumnRenamed("g", "h").withColumnRenamed("h", "g"),
]
DELAYS = ["0 seconds", "5 minutes", "10 minutes", "30 minutes", "1 hour"]


def source(draw, env, name="in", *, watermark=0.85, files=None, timed: set | None = None):
    """An input with `EVENT`'s columns; a watermark above or below random filters and projections. If `t` has it in the end,
    `name` gets into `timed`."""
    df = env.events(EVENT, name, maxFilesPerTrigger=files or draw.choice([1, 1, 2, 3]))
    delay = draw.choice(DELAYS)
    marked, first = often(draw, watermark), often(draw, 0.5)
    has_it = marked and first
    if has_it:
        df = df.withWatermark("t", delay)
    for _ in range(draw.choice([0, 0, 1, 2])):
        operation = draw.choice(STATELESS)
        df, has_it = operation(df), has_it and operation is not later
    if marked and not first:
        df, has_it = df.withWatermark("t", delay), True
    if has_it and timed is not None:
        timed.add(name)
    return df


def single(draw, env):
    files = draw.choice([1, 1, 2, 3])
    return Query(source(draw, env, files=files), ["source"], ordered=files == 1)


def union(draw, env):
    left, right = source(draw, env, "left"), source(draw, env, "right")
    kind = draw.choice(["by name", "by position", "itself", "three"])
    columns = ["t", "k", "v", "g", "u", "d"]
    if kind == "by name":
        df = left.unionByName(right.drop("d"), allowMissingColumns=True)
    elif kind == "by position":
        df = left.select("t", "k", "v").union(right.select("u", "g", "v"))
    elif kind == "itself":
        df = left.select(*columns).union(left.filter("v > 3").select(*columns))
    else:
        df = left.select(*columns).union(right.select(*columns)).union(source(draw, env, "left").select(*columns))
    return Query(df, [f"union {kind}"])


JOIN_CONDITIONS = [
    "lk = rk", "lk = rk and rt between lt and lt + interval 15 minutes",
    "lk = rk and rt >= lt - interval 10 minutes and rt <= lt", "lk = rk and lt = rt", "lt = rt",
    "lk = rk and rt > lt and rt < lt + interval 30 minutes and lv <> rv",
    "lk = rk and lv = rv and rt > lt - interval 20 minutes and lt > rt - interval 20 minutes",
    "lw = rw and lk <=> rk",
    "lk <=> rk and rt between lt - interval 1 hour and lt + interval 5 minutes and lv > 0",
]
KINDS = ["inner"] * 5 + ["left_outer"] * 3 + ["right_outer", "full_outer", "full_outer", "left_semi", "left_semi", "left_anti"]


def join(draw, env):
    """Two streams joined; afterwards `t` is one of the two event times."""
    kind, condition = draw.choice(KINDS), draw.choice(JOIN_CONDITIONS)
    timed = set()

    def side(name, p):
        df = source(draw, env, name, watermark=0.93, timed=timed)
        if often(draw, 0.1):
            df = df.dropDuplicates(["k", "t", "v"])
        elif often(draw, 0.12):
            df = df.groupBy("k", window("t", "20 minutes")).agg(expr("max(v) as v")).withColumn("t", expr("window_time(window)"))
        windows = [f"window(t, '20 minutes') as {p}w"] if "lw" in condition else []
        return df.selectExpr(f"t as {p}t", f"k as {p}k", f"v as {p}v", *windows)

    left, right = side("left", "l"), side("right", "r")
    df = left.join(right, expr(condition), kind)
    if kind in ("left_semi", "left_anti"):
        df = df.selectExpr("lt as t", "lk as k", "lv as v")
    else:
        t = draw.choice(["lt", "lt", "rt"])
        other = ["rt as other" if t == "lt" else "lt as other"] if often(draw, 0.3) else []
        df = df.selectExpr(f"{t} as t", "lk as k", "rv as v", "lv", "rk", *other)
    waits = kind.endswith("outer") and len(timed) == 1 and not re.search("lt = rt|lw = rw", condition)
    return Query(df, [f"{kind} join"], stateful=1, caveats={"one watermark"} if waits else set())


TABLE = "values ('a', 1, 'one'), ('a', 2, 'two'), ('c', 9, null), (null, 5, 'five') as names(tk, tv, name)"


def with_table(draw, env, query):
    """The stream and a table, on either side."""
    table = env.spark.sql(f"select * from {TABLE}")
    condition = expr(draw.choice(["k = tk", "k = tk and v > tv", "k <=> tk", "v = tv"]))
    kind = draw.choice(["inner", "left_outer", "left_semi", "left_anti", "right_outer"])
    if kind == "right_outer" or kind == "inner" and often(draw, 0.3):
        df = table.join(query.df, condition, kind)
    else:
        df = query.df.join(table, condition, kind)
    return query.then(df, f"{kind} join with a table", stateful=0)


# ---- operators ------------------------------------------------------------------------------------------


AGGREGATES = [
    "count(*) as n", "count(v) as cv", "sum(v) as s", "min(v) as lo", "max(t) as last", "avg(v) as mean",
    "array_sort(collect_list(v)) as vs", "array_sort(collect_set(k)) as ks", "max(struct(v, k)) as top",
    "count_if(v > 2) as big", "sum(v) filter (where k = 'a') as sa", "approx_count_distinct(k) as dk",
    "bool_or(v > 5) as high", "round(stddev_pop(v), 6) as sd", "max(k) as hk", "bit_xor(v) as x", "every(v > -2) as e",
    "max_by(k, struct(t, v, k)) as latest", "sum(cast(v as decimal(6, 1)) / 4) as q", "round(var_samp(v), 6) as vr",
    "median(v) as mid", "percentile(v, 0.25) as p", "count(k, v) as ckv", "min(v) + max(v) as ends",
]
WINDOWS = [
    ("10 minutes", None, None), ("30 minutes", None, None), ("1 hour", None, "15 minutes"),
    ("20 minutes", "10 minutes", None), ("30 minutes", "20 minutes", None), ("25 minutes", "10 minutes", "5 minutes"),
    ("1 hour", "7 minutes", None), ("90 seconds", "1 minute", None),
]
HAVING = [None] * 6 + ["n > 1", "n <= 2 or v is null"]


def aggregates(draw) -> list[str]:
    """Some of them, after what conditions may speak of and what is the next operator's `v`."""
    more = draw.sample(AGGREGATES, draw.randint(0, 3))
    return list(dict.fromkeys(["count(*) as n", "max(v) as v", *more]))


def windowed(draw, env, query):
    column = "u" if query.told == ["source"] and often(draw, 0.15) else "t"
    keys = draw.choice([[], ["k"], ["k"], ["v % 2 as m"], ["k", "v > 2 as big"]])
    length, slide, start = draw.choice(WINDOWS)
    many, having = aggregates(draw), draw.choice(HAVING)
    if often(draw, 0.2):
        view = f"{type(env).__name__}_{len(query.told)}"
        df = in_sql(query.df, view, keys, f"window({column}, '{length}', '{slide or length}', '{start or '0 seconds'}')", many)
    else:
        df = query.df.groupBy(*map(expr, keys), window(column, length, slide, start)).agg(*map(expr, many))
    return grouped(query, df, ["window", *names(keys)], having, f"{length} windows{' sliding' if slide else ''}")


def in_sql(df, view, keys, time_window, many):
    """The same aggregation as a statement over a view."""
    df.createOrReplaceTempView(view)
    expressions = [key.split(" as ")[0] for key in keys]
    selected = [*keys, f"{time_window} as window", *many]
    groups = ", ".join([*expressions, time_window])
    return df.sparkSession.sql(f"select {', '.join(selected)} from {view} group by {groups}")


def names(keys):
    return [key.split(" as ")[-1] for key in keys]


def sessions(draw, env, query):
    gap = draw.choice(["5 minutes", "12 minutes", expr("case when k = 'a' then '20 minutes' else '3 minutes' end")])
    keys = draw.choice([["k"], ["k"], [], ["k", "v % 2 as m"]])
    df = query.df.groupBy(*map(expr, keys), session_window("t", gap)).agg(*map(expr, aggregates(draw)))
    df = df.withColumnRenamed("session_window", "window")
    return grouped(query, df, ["window", *names(keys)], draw.choice(HAVING), "sessions")


def plain(draw, env, query):
    keys = draw.choice([[], ["k"], ["k"], ["t"], ["k", "v % 3 as m"], ["v > 2 as big"], ["t", "k"], ["upper(k) as K", "v"]])
    many = [text for text in aggregates(draw) if "v" not in keys or text != "max(v) as v"]
    df = query.df.groupBy(*map(expr, keys)).agg(*map(expr, many))
    return grouped(query, df, names(keys), draw.choice(HAVING), "aggregate")


def grouping(draw, env, query):
    """Rollup and cube, whose rows are told apart by the grouping id as well."""
    keys = draw.choice([["k", "v % 2 as m"], ["k", "window(t, '20 minutes') as window"], ["window(t, '30 minutes') as window", "k"]])
    kind = draw.choice(["rollup", "cube"])
    df = getattr(query.df, kind)(*map(expr, keys)).agg(*map(expr, ["grouping_id() as g", *aggregates(draw)]))
    return grouped(query, df, ["g", *names(keys)], None, kind)


def grouped(query, df, keys, having, what):
    if having:
        df, what = df.filter(having), what + " having"
        query.caveats.add("having")
    return query.then(df, what, keys=keys)


def handed_on(draw, query):
    """A window's rows as events of the next operator: their time is the window's, with its watermark most of the time."""
    if "window" not in query.df.columns:
        return query
    time = draw.choice(["window_time(window)"] * 6 + ["window.end"])
    k = "k" if "k" in query.df.columns else "cast(n as string)"
    df = query.df.select(expr(f"{time} as t"), expr(f"{k} as k"), expr("v"), expr("n"))
    return Query(df, query.told, None, query.stateful, query.caveats)


def dedup(draw, env, query):
    """Which of several rows with equal keys stays is nobody's business, so the keys are all that is told of it."""
    return query.then(*deduplicated(draw, query, [["k"], ["k", "t"], ["t"], ["k", "v"], ["t", "k", "v"], None]))


def deduplicated(draw, query, keys):
    columns, within = draw.choice(keys), often(draw, 0.3)
    if within and columns and "t" not in columns and not query.ordered:
        columns = [*columns, "t"]  # a key is remembered as long as its first row says
    of = "all" if columns is None else ", ".join(columns)
    if within:
        query.caveats.add("within watermark")
        df = query.df.dropDuplicatesWithinWatermark(columns) if columns else query.df.dropDuplicatesWithinWatermark()
    else:
        df = query.df.dropDuplicates(columns) if columns else query.df.dropDuplicates()
    return df.select(*columns) if columns else df, f"dedup {'within watermark ' if within else ''}by {of}"


def dedup_between(draw, env, query):
    """One whose rows go on as events."""
    df, what = deduplicated(draw, query, [["t", "k", "v"], ["t", "k", "v"], ["k", "t"], None])
    return query.then(df.selectExpr("t", "k", "1 as v" if what.endswith("k, t") else "v"), what)


def distinct(draw, env, query):
    return query.then(query.df.select(*draw.choice([["k"], ["k", "v"], ["t"], ["t", "k", "v"]])).distinct(), "distinct")


def limit(draw, env, query):
    query.caveats.add("limit")
    return query.then(query.df.selectExpr("1 as one").limit(draw.choice([0, 3, 8])), "limit")


OPERATORS = {windowed: 8, sessions: 3, plain: 3, grouping: 2, dedup: 5, distinct: 1, limit: 1, with_table: 2}
ORIGINS = {single: 10, join: 7, union: 4}
# Where time goes on, so that another operator can follow.
CHAINED = {windowed: 8, sessions: 2, dedup_between: 4, with_table: 2}


def chosen(draw, weighted: dict):
    return draw.choices(list(weighted), list(weighted.values()))[0]


def build(draw, env) -> Query:
    query = chosen(draw, ORIGINS)(draw, env)
    count = draw.choices([0, 1, 2], [3, 10, 4] if query.stateful else [1, 16, 7])[0]
    for n in range(count):
        last = n == count - 1
        query = chosen(draw, OPERATORS if last else CHAINED)(draw, env, query)
        if not last:
            query = handed_on(draw, query)
    return query


# ---- the whole ------------------------------------------------------------------------------------------


def mode_of(draw, query: Query) -> str:
    """Mostly one that Spark takes."""
    if often(draw, 0.08):
        return draw.choice(["append", "update", "complete"])
    if query.keys is None or query.stateful > 1:
        return "append"
    timed = "window" in query.keys or "t" in query.keys
    return draw.choice(["append", "append", "update", "complete"] if timed else ["update", "complete"])


def confs(draw) -> dict[str, str]:
    told = {"spark.sql.shuffle.partitions": str(draw.choice([1, 2, 2, 3]))}
    if often(draw, 0.15):
        told[NO_DATA] = "false"
    if often(draw, 0.25):
        told[POLICY] = "max"
    if often(draw, 0.05):
        told[CORRECTNESS] = "false"
    return told


INPUTS = {"source": ["in"], "union itself": ["left"]}


def inputs_of(query: Query) -> list[str]:
    return INPUTS.get(query.told[0], ["left", "right"])


def program(seed: int):
    """The case of a seed: a function of a session and an environment."""

    def run(spark, env):
        draw = random.Random(seed)
        for key, setting in confs(draw).items():
            spark.conf.set(key, setting)
        told = {"query": None}

        def query():
            built = build(draw, env)
            _ = built.df.schema  # where classic PySpark has raised what is wrong with it
            mode, how = mode_of(draw, built), draw.choice(["step by step"] * 2 + ["at once", "started anew"])
            if how == "started anew" and mode != "append":
                how = "at once"  # files can only be added to
            told["query"] = f"{', '.join(built.told)}; {mode}, {how}"
            given = steps(draw, inputs_of(built))
            if how == "step by step":
                return env.run_stream(built.df, mode, given, sources=1 if built.told[0] == "source" else 2)
            return env.run_at_once(built.df, mode, given) if how == "at once" else env.run_anew(built.df, given)

        told["answer"] = env.attempt(query)
        return told

    return run
