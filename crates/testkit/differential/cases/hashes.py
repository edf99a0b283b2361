"""Hashes and checksums. `hash` also decides state partitions, so it must agree bit for bit."""

from harness import case

VALUES = (
    "select 1 as i, 2L as l, cast(3 as smallint) as h, cast(4 as tinyint) as y, 1.5D as d, 2.5f as f, "
    "'Spark' as s, '日本' as u, '' as e, true as b, X'010203' as bin, date'2024-01-02' as day, "
    "timestamp'2024-01-02 03:04:05' as ts, 12.34 as m, cast(1 as decimal(38,10)) as w, array(1, 2) as a, "
    "named_struct('x', 1, 'y', 'z') as st, cast(null as int) as n, -0.0D as z, double('NaN') as nan"
)
COLUMNS = [
    "i", "l", "h", "y", "d", "f", "s", "u", "e", "b", "bin", "day", "ts", "m", "w", "a", "st", "n", "z",
    "nan", "i, l", "s, n, i", "n, n", "interval 1 day"
]


@case
def murmur3(spark, env):
    return env.evaluate(
        spark.sql(VALUES), [f"hash({c})" for c in COLUMNS] + [
            "hash()", "hash(map(1, 2))", "pmod(hash(s), 2)", "hash('abcd')", "hash('abcde')",
            "hash('abcdefgh')"
        ]
    )


@case
def xxhash64(spark, env):
    return env.evaluate(
        spark.sql(VALUES),
        [f"xxhash64({c})" for c in COLUMNS] + ["xxhash64('a string longer than thirty-two bytes in all')"]
    )


@case
def digests(spark, env):
    return env.evaluate(
        spark.sql(VALUES), [
            "md5(s)", "sha(s)", "sha1(u)", "sha2(s, 256)", "sha2(s, 0)", "sha2(s, 224)", "sha2(s, 384)",
            "sha2(s, 512)", "sha2(s, 100)", "crc32(s)", "crc32(bin)", "md5(n)", "md5(bin)", "base64(bin)",
            "hex(bin)", "hex(s)",
            "aes_decrypt(aes_encrypt(s, '0000111122223333'), '0000111122223333') = cast(s as binary)"
        ]
    )


@case
def partitioning(spark, env):
    """Where `repartition` by a column sends rows: state partitions are chosen alike."""
    df = spark.range(10).selectExpr("id", "cast(id as string) as s").repartition(3, "s")
    return env.rows(df.selectExpr("s", "spark_partition_id() as p"))
