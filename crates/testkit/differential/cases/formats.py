"""Reading files by format, in streams and in batch: options, corrupt records, inferred schemas."""

from harness import answer, case


def read(env, fmt, content, schema=None, *, name="f", **options):
    """Schema and rows, in file order, of one file read in batch."""
    env.write(f"{name}/data", content)
    reader = env.spark.read.format(fmt).options(**options)
    if schema:
        reader = reader.schema(schema)
    df = reader.load(env.path(name))
    return {"schema": answer.schema(df.schema), "rows": env.rows(df, ordered=True)}


def readings(env, fmt, content, schema, variants):
    return {
        str(options): env.attempt(lambda: read(env, fmt, content, schema, **options))
        for options in variants
    }


@case
def text(spark, env):
    return readings(
        env, "text", b"one\ntwo\r\n\nthree|four\rfive", None,
        [{}, {"wholetext": "true"}, {"lineSep": "|"}, {"lineSep": "\n"}]
    )


@case
def csv_header_and_separator(spark, env):
    content = "id,name,price\n1,apple,1.50\n2, pear ,\n3,\"a,b\",2\n"
    told = readings(
        env, "csv", content, None, [
            {}, {
                "header": "true"
            }, {
                "header": "true",
                "inferSchema": "true"
            }, {
                "header": "true",
                "ignoreLeadingWhiteSpace": "true",
                "ignoreTrailingWhiteSpace": "true"
            }, {"sep": ";"}, {"sep": "||"}
        ]
    )
    told["schema given, header skipped"] = env.attempt(
        lambda: read(env, "csv", content, "id int, name string, price decimal(5,2)", header="true")
    )
    told["header names differ from schema"] = env.attempt(
        lambda: read(env, "csv", content, "a int, b string, c double", header="true")
    )
    told["names differ, not enforced"] = env.attempt(
        lambda: read(env, "csv", content, "a int, b string, c double", header="true", enforceSchema="false")
    )
    return told


@case
def csv_quotes_and_escapes(spark, env):
    content = 'a,"say ""hi""",c\n"x\\"y",\'q\',"two\nlines"\n"",,"unclosed\n'
    return readings(
        env, "csv", content, "a string, b string, c string",
        [{}, {"multiLine": "true"}, {"quote": "'"}, {"escape": '"'}, {"quote": "", "escape": ""}]
    )


@case
def csv_nulls_and_empties(spark, env):
    content = 'a,,""\nNA,NULL,-\n ,null,"NA"\n'
    return readings(
        env, "csv", content, "a string, b string, c string",
        [{}, {"nullValue": "NA"}, {"emptyValue": "EMPTY"}, {"nullValue": "-", "emptyValue": "E"}]
    )


@case
def csv_types(spark, env):
    content = "1,2.5,true,2024-01-02,2024-01-02 03:04:05,1.10\n-7,1e3,FALSE,2024-12-31,2024-01-02T03:04:05.678Z,99\n" \
              "x,NaN,yes,02/01/2024,3pm,1.239\n9999999999,Inf,0,2024-02-30,2024-01-02 03:04:05+02:00,1000\n"
    schema = "i int, d double, b boolean, day date, ts timestamp, m decimal(5,2)"
    told = readings(env, "csv", content, schema, [{}, {"positiveInf": "Inf"}])
    told["inferred"] = read(env, "csv", content, None, inferSchema="true")
    return told


@case
def csv_inferred_types(spark, env):
    columns = {
        "int": "1\n2\n",
        "long": "1\n3000000000\n",
        "decimal": "1\n30000000000000000000\n",
        "double": "1\n2.5\n",
        "exponent": "1\n1e5\n",
        "boolean": "true\nFALSE\n",
        "date": "2024-01-02\n2024-01-03\n",
        "timestamp": "2024-01-02 03:04:05\n2024-01-03 01:00:00\n",
        "date then timestamp": "2024-01-02\n2024-01-03 01:00:00\n",
        "timestamp with zone": "2024-01-02T03:04:05Z\n",
        "int then text": "1\nx\n",
        "empty": "\n\n",
        "leading zero": "007\n",
        "plus": "+5\n",
        "spaces": " 5\n",
        "NaN": "NaN\n1\n",
        "underscore": "1_000\n",
        "d suffix": "1d\n",
    }
    return {
        name: env.attempt(lambda: read(env, "csv", text, None, name=f"c{i}", inferSchema="true"))
        for i, (name, text) in enumerate(columns.items())
    }


@case
def csv_date_patterns(spark, env):
    content = "02/01/2024,02-Jan-2024 03:04\n31/12/2023,31-Dec-2023 23:59\n2024-01-05,2024-01-05 00:00:00\n"
    return readings(
        env, "csv", content, "day date, ts timestamp", [
            {}, {
                "dateFormat": "dd/MM/yyyy",
                "timestampFormat": "dd-MMM-yyyy HH:mm"
            }, {"dateFormat": "dd/MM/yyyy", "timestampFormat": "dd-MMM-yyyy HH:mm", "mode": "FAILFAST"}
        ]
    )


@case
def csv_corrupt_records(spark, env):
    content = "1,a\nx,b\n3\n4,d,extra\n\n5,e\n"
    plain, with_corrupt = "id int, k string", "id int, k string, _corrupt_record string"
    told = {"permissive": env.attempt(lambda: read(env, "csv", content, plain))}
    told["permissive, record kept"] = env.attempt(lambda: read(env, "csv", content, with_corrupt))
    told["record under another name"] = env.attempt(
        lambda: read(env, "csv", content, "id int, k string, bad string", columnNameOfCorruptRecord="bad")
    )
    for mode in ("DROPMALFORMED", "FAILFAST", "WHATEVER"):
        told[mode] = env.attempt(lambda: read(env, "csv", content, plain, mode=mode))
    return told


@case
def csv_comments_and_blank_lines(spark, env):
    content = "#note\n1,a\n\n  \n#2,b\n3,c\n"
    return readings(
        env, "csv", content, "id string, k string",
        [{}, {"comment": "#"}, {"lineSep": "\n"}, {"maxColumns": "1"}]
    )


@case
def csv_encoding_and_column_count(spark, env):
    return {
        "latin-1": env.attempt(
            lambda: read(env, "csv", "é,ü\n".encode("latin-1"), "a string, b string", encoding="ISO-8859-1")
        ),
        "utf-8 with mark": env.
        attempt(lambda: read(env, "csv", b"\xef\xbb\xbfa,b\n1,2\n", None, name="g", header="true")),
        "duplicate names": env.
        attempt(lambda: read(env, "csv", "a,a,b\n1,2,3\n", None, name="h", header="true")),
        "blank name": env.attempt(lambda: read(env, "csv", "a,,b\n1,2,3\n", None, name="i", header="true")),
    }


@case
def json_types(spark, env):
    lines = [
        '{"i":1,"d":1.5,"s":"x","b":true,"day":"2024-01-02","ts":"2024-01-02T03:04:05Z","m":1.10,"a":[1,2],"o":{"x":1},"mp":{"p":1}}',
        (
            '{"i":1.0,"d":1,"s":5,"b":"true","day":"2024-1-2","ts":"2024-01-02 '
            '03:04:05","m":"2.5","a":7,"o":"x","mp":[]}'
        ),
        '{"i":"7","d":"NaN","s":{"k":[1]},"b":0,"day":19000,"ts":1700000000,"m":123456,"a":null,"o":{},"mp":null}',
        '{"I":5}', '{}'
    ]
    schema = (
        "i int, d double, s string, b boolean, day date, ts timestamp, m decimal(5,2), a array<int>, o "
        "struct<x:int>, mp map<string,int>"
    )
    return readings(
        env, "json", "\n".join(lines), schema, [{}, {"mode": "DROPMALFORMED"}, {"mode": "FAILFAST"}]
    )


@case
def json_inferred(spark, env):
    contents = {
        "numbers": '{"a":1}\n{"a":3000000000}\n',
        "mixed numbers": '{"a":1}\n{"a":2.5}\n',
        "big": '{"a":123456789012345678901234567890}\n',
        "text and number": '{"a":1}\n{"a":"x"}\n',
        "nulls only": '{"a":null}\n',
        "nested": '{"o":{"b":1,"a":"x"}}\n{"o":{"c":true}}\n',
        "arrays": '{"a":[1,2.5]}\n{"a":[]}\n',
        "arrays of objects": '{"a":[{"x":1},{"y":"z"}]}\n',
        "empty array": '{"a":[]}\n',
        "object or array": '{"a":{"x":1}}\n{"a":[1]}\n',
        "field order": '{"z":1,"a":2,"M":3}\n',
        "booleans": '{"a":true}\n{"a":1}\n',
        "timestamp text": '{"a":"2024-01-02T03:04:05Z"}\n',
        "top-level array": '[{"a":1},{"a":2}]\n',
        "corrupt": '{"a":1}\n{"a"\n',
        "empty file": "",
    }
    return {
        name: env.attempt(lambda: read(env, "json", text, None, name=f"j{i}"))
        for i, (name, text) in enumerate(contents.items())
    }


@case
def json_inference_options(spark, env):
    content = '{"a":1,"b":"2024-01-02T03:04:05Z","c":2.5}\n{"a":2,"b":"2024-01-02T03:04:06Z","c":0.25}\n'
    told = readings(
        env, "json", content, None, [
            {
                "primitivesAsString": "true"
            }, {
                "prefersDecimal": "true"
            }, {"inferTimestamp": "true"}, {"dropFieldIfAllNull": "true"}, {"samplingRatio": "1.0"}
        ]
    )
    return told


@case
def json_leniency(spark, env):
    content = (
        "{'a':1}\n{a:2}\n{\"a\":03}\n{\"a\":4} // no\n/* c "
        "*/{\"a\":5}\n{\"a\":\"\\q\"}\n{\"a\":NaN}\n{\"a\":+7}\n{\"a\":8,}\n[{\"a\":9},{\"a\":10}]\n"
    )
    return readings(
        env, "json", content, "a string, _corrupt_record string", [
            {}, {
                "allowSingleQuotes": "false"
            }, {
                "allowUnquotedFieldNames": "true"
            }, {
                "allowNumericLeadingZeros": "true"
            }, {
                "allowComments": "true"
            }, {"allowBackslashEscapingAnyCharacter": "true"}, {"allowNonNumericNumbers": "false"}
        ]
    )


@case
def json_multiline(spark, env):
    content = '[\n {"a": 1},\n {"a": 2,\n  "b": "x"}\n]\n'
    told = readings(env, "json", content, "a int, b string", [{}, {"multiLine": "true"}])
    told["inferred"] = env.attempt(lambda: read(env, "json", content, None, multiLine="true"))
    told["one object over lines"] = env.attempt(
        lambda: read(env, "json", '{\n"a":1\n}\n{"a":2}', "a int, b string", name="g", multiLine="true")
    )
    return told


@case
def json_corrupt_records(spark, env):
    content = (
        '{"id":1,"k":"a"}\n{"id":"x","k":"b"}\nnot json\n\n{"id":3\n{"id":4,"k":"d"} '
        '{"id":5}\n{"id":9999999999,"k":"e"}\n'
    )
    told = {"permissive": env.attempt(lambda: read(env, "json", content, "id int, k string"))}
    told["record kept"] = env.attempt(
        lambda: read(env, "json", content, "id int, k string, _corrupt_record string")
    )
    told["another name"] = env.attempt(
        lambda: read(env, "json", content, "id int, k string, bad string", columnNameOfCorruptRecord="bad")
    )
    told["not a string column"] = env.attempt(
        lambda: read(env, "json", content, "id int, _corrupt_record int")
    )
    for mode in ("DROPMALFORMED", "FAILFAST"):
        told[mode] = env.attempt(lambda: read(env, "json", content, "id int, k string", mode=mode))
    return told


@case
def json_time_patterns_and_zone(spark, env):
    content = (
        '{"d":"02/01/2024","t":"02/01/2024 '
        '03:04"}\n{"d":"2024-01-02","t":"2024-01-02T03:04:05.123456789+01:00"}\n'
    )
    schema = "d date, t timestamp"
    return readings(
        env, "json", content, schema, [
            {}, {
                "dateFormat": "dd/MM/yyyy",
                "timestampFormat": "dd/MM/yyyy HH:mm"
            }, {"timeZone": "America/New_York", "timestampFormat": "dd/MM/yyyy HH:mm"}
        ]
    )


@case
def json_default_time_formats(spark, env):
    """Which texts the JSON reader takes for a timestamp and a date when no pattern is given."""
    texts = [
        "2024-01-02T03:04:05Z", "2024-01-02T03:04:05.123Z", "2024-01-02T03:04:05.123456Z",
        "2024-01-02T03:04:05", "2024-01-02 03:04:05", "2024-01-02 03:04:05.5", "2024-01-02T03:04Z",
        "2024-01-02T03:04", "2024-01-02", "2024-01", "2024", "2024-1-2 3:4:5", "2024-01-02T03:04:05+01:00",
        "2024-01-02T03:04:05 Europe/Paris", " 2024-01-02 03:04:05 ", "", "1700000000", "epoch",
        "2024-02-30T00:00:00Z"
    ]
    env.write("t/a.json", [{"text": t, "ts": t, "d": t, "n": t} for t in texts])
    df = spark.read.schema("text string, ts timestamp, d date, n timestamp_ntz").json(env.path("t"))
    return env.rows(
        df.selectExpr("text", "cast(ts as string)", "cast(d as string)", "cast(n as string)"), ordered=True
    )


@case
def stream_corrupt_records(spark, env):
    """The three modes in a stream; FAILFAST ends the query."""
    lines = ['{"id":1}', "not json", '{"id":"x"}', '{"id":2}']
    schema = "id int, _corrupt_record string"
    return {
        "PERMISSIVE": env.run_stream(env.events(schema, "p"), "append", [{"p": lines}]),
        "PERMISSIVE without the column": env.run_stream(env.events("id int", "q"), "append", [{
            "q": lines
        }]),
        "DROPMALFORMED": env.run_stream(
            env.events("id int", "d", mode="DROPMALFORMED"), "append", [{"d": lines}]
        ),
        "FAILFAST": env.run_stream(
            env.events("id int", "f", mode="FAILFAST"), "append", [{"f": lines}], progress=False
        ),
    }


@case
def stream_csv(spark, env):
    reader = spark.readStream.schema("id int, name string, price double").option("header",
                                                                                 "true").option("sep", ";")
    df = reader.csv(env.directory("in"))
    return env.run_stream(
        df.where("price > 1"), "append",
        [["id;name;price", "1;a;1.5", "2;b;0.5"], ["id;name;price", "3;\"c;d\";7"]]
    )


@case
def stream_text_whole_file(spark, env):
    return env.run_stream(env.lines(wholetext="true"), "append", [["one", "two"], ["three"]])


def write_then_read(spark, env, fmt):
    """Types through a columnar format and back: written in batch, read in batch and as a stream."""
    df = spark.sql(
        """
        select * from values
          (1, 10L, 1.5D, cast(2.5 as float), true, 'text', X'0102', date'2024-01-02', timestamp'2024-01-02 03:04:05.678',
           cast(12.34 as decimal(6,2)), array(1, null), named_struct('x', 1, 'y', 'z'), map('k', 1)),
          (null, null, null, null, null, null, null, null, null, null, null, null, null)
        as t(i, l, d, f, b, s, bin, day, ts, m, a, o, mp)"""
    )
    df.coalesce(1).write.format(fmt).save(env.path("out"))
    back = spark.read.format(fmt).load(env.path("out"))
    stream = spark.readStream.schema(back.schema).format(fmt).load(env.path("out"))
    query = env.start(stream)
    query.processAllAvailable()
    streamed = env.rows(spark.table(query.name))
    query.stop()
    return {"batch": env.table(back), "stream": streamed}


@case
def parquet_round_trip(spark, env):
    return write_then_read(spark, env, "parquet")


@case
def orc_round_trip(spark, env):
    return write_then_read(spark, env, "orc")


@case
def parquet_schema_differs_from_files(spark, env):
    spark.range(3).selectExpr("cast(id as int) as id", "'x' as k").coalesce(1).write.parquet(env.path("out"))
    schemas = [
        "id long, k string", "ID int, extra double", "id string", "k string", "id double", "id decimal(12,2)",
        "id int not null"
    ]
    return {s: env.attempt(lambda: env.table(spark.read.schema(s).parquet(env.path("out")))) for s in schemas}


@case
def parquet_merge_schema(spark, env):
    spark.range(1).selectExpr("id", "1 as a").write.parquet(env.path("out/p=1"))
    spark.range(1).selectExpr("id", "'x' as b").write.parquet(env.path("out/p=2"))
    return {"merged": env.table(spark.read.option("mergeSchema", "true").parquet(env.path("out")))}


@case
def bundled_parquet_invoices(spark, env):
    """The invoices as Parquet: the schema other tools wrote, and a sum over them."""
    df = spark.read.option("pathGlobFilter", "*.parquet").parquet(str(env.data / "invoices"))
    return {
        "schema": env.schema(df),
        "columns": env.rows(df.selectExpr("count(*)", "count(distinct InvoiceNumber)"))
    }


@case
def wrong_format_for_the_file(spark, env):
    env.write("in/a.parquet", "not parquet at all")
    return {
        "parquet": env.error(lambda: spark.read.parquet(env.path("in")).collect()),
        "parquet with schema": env.
        error(lambda: spark.read.schema("a int").parquet(env.path("in")).collect()),
        "orc with schema": env.error(lambda: spark.read.schema("a int").orc(env.path("in")).collect())
    }
