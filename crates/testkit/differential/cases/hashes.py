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


@case
def aes(spark, env):
    key, long = "'0000111122223333'", "'abcdefghijklmnop12345678ABCDEFGH'"
    zeros = lambda n: f"unhex('{'00' * n}')"
    seal = lambda *more: f"base64(aes_encrypt({', '.join(more)}))"
    open_ = lambda text, *more: f"cast(aes_decrypt(unbase64('{text}'), {', '.join(more)}) as string)"
    return env.evaluate(spark.range(1), [
        seal("'Spark SQL'", "'1234567890abcdef'", "'ECB'", "'PKCS'"), seal("'Spark'", long, "'ecb'"),
        seal("'Spark'", long, "'GCM'", "'DEFAULT'", zeros(12)), seal("'Spark'", long, "'GCM'", "'NONE'", zeros(12), "'data'"),
        seal("'Spark'", long, "'CBC'", "'PKCS'", zeros(16)), seal("''", key, "'CBC'", "'DEFAULT'", zeros(16)),
        seal("'0123456789abcdef'", f"substr({long}, 1, 24)", "'CBC'", "'DEFAULT'", zeros(16)),
        "length(aes_encrypt('Spark', '0000111122223333'))", "length(aes_encrypt('Spark', '0000111122223333', 'CBC'))",
        "cast(aes_decrypt(aes_encrypt('Spark', '0000111122223333', 'CBC'), '0000111122223333', 'CBC') as string)",
        open_("3lmwu+Mw0H3fi5NDvcu9lg==", "'1234567890abcdef'", "'ECB'", "'PKCS'"),
        open_("3lmwu+Mw0H3fi5NDvcu9lg==", "'1234567890abcdeX'", "'ECB'"),
        "try_aes_decrypt(unhex('6E7CA17BBB468D3084B5744BCA729FB7B2B7BCB8E4472847D02670489D95FA97DBBA7D3210'), '0000111122223333', 'GCM')",
        "try_aes_decrypt(unhex('----'), '0000111122223333')", "aes_encrypt('Spark', '12')", "aes_encrypt('Spark', null)",
        "aes_encrypt('Spark', '0000111122223333', 'CTR')", "aes_encrypt('Spark', '0000111122223333', 'ECB', 'NONE')",
        "aes_encrypt('Spark', '0000111122223333', 'GCM', 'PKCS')", f"aes_encrypt('Spark', {key}, 'GCM', 'DEFAULT', {zeros(3)})",
        f"aes_encrypt('Spark', {key}, 'CBC', 'DEFAULT', {zeros(12)})", f"aes_encrypt('Spark', {key}, 'ECB', 'DEFAULT', {zeros(16)})",
        f"aes_encrypt('Spark', {key}, 'CBC', 'DEFAULT', {zeros(16)}, 'data')", "aes_encrypt('Spark')",
        "aes_decrypt(unhex('00'), '0000111122223333')", "aes_decrypt('Spark', '0000111122223333', 'CTR')",
    ])
