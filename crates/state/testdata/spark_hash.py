"""Records Spark's hash() and xxhash64() of values of every type in spark_hash.parquet.

Run with PySpark 4.3 (classic). For every value column c there are columns h_c and x_c with its two
hashes; h_all and x_all are those of all columns together, in the order of the file.
"""
import os
import sys
from datetime import date, datetime, timezone
from decimal import Decimal

from pyspark.sql import SparkSession
from pyspark.sql import types as t

spark = (
    SparkSession.builder.master("local[1]")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    # Without it Spark refuses to hash maps; we follow what it computes then.
    .config("spark.sql.legacy.allowHashOnMapType", "true")
    .getOrCreate()
)

nan, inf = float("nan"), float("inf")
texts = ["", "a", "ab", "abc", "abcd", "abcde", "straße", "日本語", "x" * 31, "y" * 32, "z" * 33, "0123456789" * 10]
pair = t.StructType([t.StructField("n", t.IntegerType()), t.StructField("s", t.StringType())])

columns = [
    ("boolean", t.BooleanType(), [True, False, None]),
    ("tinyint", t.ByteType(), [0, 1, -1, 127, -128, None]),
    ("smallint", t.ShortType(), [0, 1, -1, 32767, -32768, None]),
    ("int", t.IntegerType(), [0, 1, -1, 42, 2**31 - 1, -(2**31), None]),
    ("bigint", t.LongType(), [0, 1, -1, 42, 2**40, 2**63 - 1, -(2**63), None]),
    ("float", t.FloatType(), [0.0, -0.0, 1.5, -1.5, nan, inf, -inf, 1e-45, None]),
    ("double", t.DoubleType(), [0.0, -0.0, 1.5, -1.5, nan, inf, -inf, 5e-324, 1e300, None]),
    ("string", t.StringType(), texts + [None]),
    ("binary", t.BinaryType(), [bytearray(x.encode()) for x in texts] + [bytearray([0x80, 0xFF, 0x7F]), None]),
    ("date", t.DateType(), [date(1970, 1, 1), date(2026, 2, 28), date(1, 1, 1), date(9999, 12, 31), None]),
    (
        "timestamp",
        t.TimestampType(),
        [datetime(1970, 1, 1, tzinfo=timezone.utc), datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc),
         datetime(1900, 1, 1, tzinfo=timezone.utc), None],
    ),
    ("timestamp_ntz", t.TimestampNTZType(), [datetime(1970, 1, 1), datetime(2026, 1, 2, 3, 4, 5, 678901), None]),
    ("decimal_10_2", t.DecimalType(10, 2), [Decimal("0.00"), Decimal("1.50"), Decimal("-99999999.99"), None]),
    ("decimal_18_4", t.DecimalType(18, 4), [Decimal("0.0000"), Decimal("99999999999999.9999"), Decimal("-1.0001"), None]),
    (
        "decimal_38_10",
        t.DecimalType(38, 10),
        [Decimal(0), Decimal("0.0000000001"), Decimal("-0.0000000001"), Decimal("0.0000000127"), Decimal("0.0000000128"),
         Decimal("-0.0000000128"), Decimal("-0.0000000129"), Decimal("0.0000000255"), Decimal("0.0000000256"),
         Decimal("9" * 28 + "." + "9" * 10), Decimal("-" + "9" * 28 + "." + "9" * 10), Decimal("12345678901234567.89"), None],
    ),
    ("array_int", t.ArrayType(t.IntegerType()), [[], [1], [1, 2, 3], [None], [1, None, 2], None]),
    ("array_string", t.ArrayType(t.StringType()), [[], ["a"], ["ab", "cd"], ["abcd"], [None, ""], None]),
    ("array_array", t.ArrayType(t.ArrayType(t.LongType())), [[], [[]], [[1, 2], [3]], [[1], [2, 3]], [None, [4]], None]),
    ("struct", pair, [(1, "a"), (None, "a"), (1, None), (None, None), None]),
    ("array_struct", t.ArrayType(pair), [[(1, "a"), (2, "b")], [None, (3, None)], [], None]),
    ("map", t.MapType(t.StringType(), t.IntegerType()), [{}, {"a": 1}, {"a": 1, "b": 2}, {"b": None}, None]),
    ("struct_nested", t.StructType([t.StructField("p", pair), t.StructField("d", t.DoubleType())]),
     [((1, "a"), -0.0), (None, nan), ((None, "zz"), None), None]),
]

rows = max(len(values) for _, _, values in columns)
data = [tuple(values[i % len(values)] for _, _, values in columns) for i in range(2 * rows)]
schema = t.StructType([t.StructField(name, kind) for name, kind, _ in columns])
frame = spark.createDataFrame(data, schema)
names = [name for name, _, _ in columns]
hashes = [f"hash({c}) AS h_{c}" for c in names] + [f"xxhash64({c}) AS x_{c}" for c in names]
together = ", ".join(names)
frame = frame.selectExpr(*names, *hashes, f"hash({together}) AS h_all", f"xxhash64({together}) AS x_all")
frame = frame.selectExpr("*", "pmod(h_all, 7) AS p_all")
out = sys.argv[1]
frame.coalesce(1).write.mode("overwrite").option("compression", "uncompressed").parquet(out)
print("spark", spark.version, "rows", frame.count())
