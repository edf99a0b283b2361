"""JSON and CSV inside columns: from_json, to_json, get_json_object and their relatives."""

from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, IntegerType, MapType, StringType, StructField, StructType

from harness import case

DOCUMENTS = [
    '{"a":1,"b":"x","c":[1,2],"d":{"e":2.5}}', '{"a":"7","b":5,"c":"no"}', '{"b":null}', '{"A":3}', "{}",
    "[]", '[{"a":9}]', "null", "", "not json", '{"a":1', '{"a":1}{"a":2}', '{"a":1.0}', '{"a":99999999999}',
    '{"a":1,"a":2}', '{"b":{"x":1}}', '{"b":"\\u00e9\\n"}', "{'a':4}", '{"a":true}', None
]


def documents(spark):
    return spark.createDataFrame([(d, ) for d in DOCUMENTS], "v string").coalesce(1)


@case
def from_json_struct(spark, env):
    return env.evaluate(
        documents(spark), [
            "from_json(v, 'a int, b string, c array<int>')", "from_json(v, 'a int')",
            "from_json(v, 'a bigint, d struct<e:double>')", "from_json(v, 'a int, _corrupt_record string')",
            "from_json(v, 'struct<a:string>')"
        ]
    )


@case
def from_json_arrays_and_maps(spark, env):
    return env.evaluate(
        documents(spark), [
            "from_json(v, 'array<struct<a:int>>')", "from_json(v, 'map<string,string>')",
            "from_json(v, 'array<int>')", "from_json(v, 'map<string,int>')",
            "from_json('[1,\"2\",null]', 'array<int>')", "from_json('5', 'int')",
            "from_json('\"x\"', 'string')"
        ]
    )


@case
def from_json_options(spark, env):
    return env.evaluate(
        documents(spark), [
            "from_json(v, 'a int', map('mode', 'FAILFAST'))",
            "from_json(v, 'a int', map('mode', 'DROPMALFORMED'))",
            "from_json('{\"d\":\"02/01/2024\"}', 'd date', map('dateFormat', 'dd/MM/yyyy'))",
            "from_json('{\"t\":\"02-01-2024 10\"}', 't timestamp', map('timestampFormat', 'dd-MM-yyyy HH'))",
            "from_json('{a:1}', 'a int', map('allowUnquotedFieldNames', 'true'))",
            "from_json(v, 'a int, bad string', map('columnNameOfCorruptRecord', 'bad'))",
            "from_json('{\"a\":01}', 'a int', map('allowNumericLeadingZeros', 'true'))",
            "from_json(v, 'nonsense')", "from_json(v, a)", "from_json(1, 'a int')"
        ]
    )


@case
def from_json_types(spark, env):
    texts = [
        "1", "1.5", '"1"', '"x"', "true", "null", "{}", "[]", '"2024-01-02"', '"2024-01-02T03:04:05Z"',
        "1700000000", '"AQI="', "1e2", '"NaN"', '"1 day"', "123456.789"
    ]
    df = spark.createDataFrame([(f'{{"x":{t}}}', ) for t in texts], "v string").coalesce(1)
    types = [
        "tinyint", "int", "bigint", "float", "double", "decimal(8,2)", "string", "boolean", "date",
        "timestamp", "timestamp_ntz", "binary", "array<int>", "struct<y:int>", "map<string,int>"
    ]
    return env.evaluate(df, [f"from_json(v, 'x {t}').x" for t in types])


@case
def from_json_python_schemas(spark, env):
    df = documents(spark)
    schemas = {
        "struct": StructType([StructField("a", IntegerType()),
                              StructField("b", StringType())]),
        "array": ArrayType(StructType([StructField("a", IntegerType())])),
        "map": MapType(StringType(), StringType()),
        "ddl": "a INT, b STRING",
        "not null field": StructType([StructField("a", IntegerType(), False)]),
    }
    told = {
        name: env.attempt(lambda: env.table(df.select(F.from_json("v", schema).alias("j")), ordered=True))
        for name, schema in schemas.items()
    }
    told["star"] = env.attempt(
        lambda: env.
        table(df.select(F.from_json("v", "a int, b string").alias("j")).select("j.*"), ordered=True)
    )
    told["nullability"] = env.schema(
        df.select(F.from_json("v", schemas["not null field"]).alias("j")), nullability=True
    )
    return told


@case
def get_json_object(spark, env):
    df = spark.createDataFrame(
        [
            ('{"a":1,"b":{"c":[10,{"d":"x"}],"e f":null},"s":"t\\"q","n":1.50,"t":true,"z":[]}', ),
            ("[1,[2,3]]", ), ("oops", ), (None, )
        ], "v string"
    ).coalesce(1)
    paths = [
        "$", "$.a", "$.b", "$.b.c", "$.b.c[0]", "$.b.c[1].d", "$.b.c[*]", "$.b.c[9]", "$['b']['e f']",
        "$.b.*", "$.s", "$.n", "$.t", "$.z", "$.missing", "$[0]", "$[1][0]", "$[*]", "$..d", "a", "",
        "$.b.c[-1]", "$[*][0]"
    ]
    told = {
        p: env.attempt(lambda: env.rows(df.select(F.get_json_object("v", p)), ordered=True))
        for p in paths
    }
    told["by column"] = env.evaluate(df, ["get_json_object(v, concat('$.', 'a'))"])
    return told


@case
def json_tuple_and_lengths(spark, env):
    df = spark.createDataFrame(
        [('{"a":1,"b":{"c":2},"l":[1,2]}', ), ("[1,2,3]", ), ("bad", ), (None, )], "v string"
    ).coalesce(1)
    told = env.evaluate(
        df, [
            "json_array_length(v)", "json_object_keys(v)", "json_array_length('[]')",
            "schema_of_json('{\"a\":1,\"b\":[1.5]}')", "schema_of_json('[{\"a\":1},{\"b\":\"x\"}]')",
            "schema_of_json('{\"a\":null}')", "schema_of_json(v)", "schema_of_json('{bad')",
            "schema_of_csv('1,abc,2024-01-02')"
        ]
    )
    told["json_tuple"] = env.attempt(
        lambda: env.table(df.select(F.json_tuple("v", "a", "b", "l", "zz")), ordered=True)
    )
    return told


@case
def to_json(spark, env):
    df = spark.sql(
        """select named_struct('a', 1, 'b', cast(null as string), 'c', array(1, null), 'd', map('k', 2.50),
            'e', timestamp'2024-01-02 03:04:05.678', 'f', date'2024-01-02', 'g', 1.0D,
            'h', 'q"\\\\/é\\n', 'i', X'0102', 'j', cast(1e21 as double),
            'k', timestamp_ntz'2024-01-02 03:04:05') as s"""
    )
    return env.evaluate(
        df, [
            "to_json(s)", "to_json(s, map('ignoreNullFields', 'false'))",
            "to_json(s, map('timestampFormat', 'yyyy/MM/dd', 'dateFormat', 'dd.MM'))", "to_json(array(s.c))",
            "to_json(map('a', 1, 'b', null))", "to_json(array(1, 2))", "to_json(struct(s.a, s.c[0]))",
            "to_json(struct(*))", "to_json(s.a)", "to_json(map(1, 'x'))",
            (
                "to_json(named_struct('x', double('NaN'), 'y', double('inf'), 'z', 1e-7D, 'w', "
                "100000000.0D, 'v', 0.1f, 'u', 1e10f))"
            ),
            "to_json(named_struct())", "to_json(array())",
            "to_json(named_struct('p', map('x', named_struct('y', array(map('z', 1))))))",
            "to_json(s, map('pretty', 'true'))",
            "to_json(named_struct('i', interval 1 day, 'd', 1.10, 'l', 9223372036854775807L))"
        ]
    )


@case
def csv_in_columns(spark, env):
    return env.evaluate(
        spark.sql(
            "select '1,abc,2024-01-02' as v, named_struct('a', 1, 'b', 'x,y', 'c', cast(null as int), 'd', '') as s"
        ), [
            "from_csv(v, 'a int, b string, c date')", "from_csv(v, 'a int, b string', map('sep', ';'))",
            "from_csv('x', 'a int')", "to_csv(s)", "to_csv(s, map('sep', '|', 'nullValue', 'N'))"
        ]
    )


@case
def json_in_a_stream(spark, env):
    """What a Kafka consumer of the notes does, over lines: parse, flatten, rebuild the value."""
    df = env.lines().select(
        F.from_json("value",
                    "id int, items array<struct<n:string,q:int>>, addr struct<city:string>").alias("j")
    ).select("j.*")
    flat = df.selectExpr("id", "addr.city", "explode(items) as item").selectExpr(
        "id as key", "to_json(named_struct('id', id, 'city', city, 'n', item.n, 'q', item.q)) as value"
    )
    return {
        "schema": env.schema(flat),
        "run": env.run_stream(
            flat, "append", [
                ['{"id":1,"items":[{"n":"a","q":2},{"n":"b"}],"addr":{"city":"X"}}', '{"id":2,"items":[]}'],
                ["garbage", '{"id":3,"items":[{"q":1}]}', '{"id":4,"items":null,"addr":null}']
            ]
        )
    }
