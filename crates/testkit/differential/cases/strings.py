"""String functions, regular expressions and formatting, over columns (nothing folds away)."""

from harness import case

VALUES = [("Hello World", 3), ("", 0), ("naïve Ærøskøbing 日本", -2), (None, None), ("  spaced\ttext  ", 100)]


def strings(spark):
    return spark.createDataFrame(VALUES, "s string, n int").coalesce(1)


@case
def case_and_length(spark, env):
    return env.evaluate(
        strings(spark), [
            "upper(s)", "lower(s)", "initcap(s)", "length(s)", "char_length(s)", "octet_length(s)",
            "bit_length(s)", "reverse(s)", "ascii(s)", "s || '!'"
        ]
    )


@case
def trim_and_pad(spark, env):
    return env.evaluate(
        strings(spark), [
            "trim(s)", "ltrim(s)", "rtrim(s)", "btrim(s)", "trim('H' from s)", "trim(both 'Hd' from s)",
            "trim(leading 'H' from s)", "btrim(s, 'Hd ')", "lpad(s, 5, '*')", "rpad(s, 13, 'ab')",
            "lpad(s, n, 'x')", "rpad(s, 14)", "lpad(s, 3, '')", "space(n)", "repeat(s, 2)", "repeat(s, n)"
        ]
    )


@case
def substrings(spark, env):
    return env.evaluate(
        strings(spark), [
            "substring(s, 1, 3)", "substring(s, 0, 3)", "substring(s, -3, 2)", "substring(s, -20, 5)",
            "substring(s, 4)", "substring(s, 2, -1)", "substr(s, n, 4)", "left(s, 2)", "right(s, 3)",
            "left(s, -1)", "substring_index(s, ' ', 1)", "substring_index(s, 'o', -1)",
            "substring_index(s, 'zz', 1)", "split_part(s, ' ', 2)", "split_part(s, ' ', -1)",
            "overlay(s placing 'XX' from 2)", "overlay(s placing 'XX' from 2 for 5)",
            "substring(s from 2 for 3)"
        ]
    )


@case
def search(spark, env):
    return env.evaluate(
        strings(spark), [
            "instr(s, 'o')", "locate('o', s)", "locate('o', s, 6)", "locate('', s)", "position('o' in s)",
            "charindex('l', s)", "contains(s, 'World')", "startswith(s, 'He')", "endswith(s, 'd')",
            "s like 'Hel%'", "s like '%_o_%'", "s like 'hel%'", "s ilike 'hel%'", "s like any ('H%', '%x')",
            "s not like '%o%'", "s rlike 'W.r'", "s regexp '^\\\\s'", "find_in_set('b', 'a,b,c')",
            "find_in_set(s, 'Hello World,b')", "s like '50\\\\%'", "'50%' like '50\\\\%'",
            "'a_b' like 'a/_b' escape '/'"
        ]
    )


@case
def regular_expressions(spark, env):
    return env.evaluate(
        strings(spark), [
            "regexp_extract(s, '(\\\\w+) (\\\\w+)', 2)", "regexp_extract(s, '(\\\\w+) (\\\\w+)', 0)",
            "regexp_extract(s, '(\\\\w+)')", "regexp_extract(s, 'zz', 0)", "regexp_extract_all(s, 'o', 0)",
            "regexp_extract_all(s, '(\\\\w)o', 1)", "regexp_replace(s, 'o', '0')",
            "regexp_replace(s, '(l+)', '<$1>')", "regexp_replace(s, 'o', '0', 6)", "regexp_count(s, 'l')",
            "regexp_substr(s, 'W\\\\w+')", "regexp_instr(s, 'o')", "regexp_like(s, '(?i)hello')",
            "regexp_extract(s, '(', 0)", "regexp_extract(s, '(\\\\w+)', 5)",
            "regexp_replace(s, '\\\\p{L}+', 'L')", "regexp_replace(s, '^', '>')",
            "regexp_replace(s, '(?<=H)e', 'E')", "regexp_replace(s, '(a)?x*', '-')", "rlike(s, r'\\w+')"
        ]
    )


@case
def splitting(spark, env):
    return env.evaluate(
        strings(spark), [
            "split(s, ' ')", "split(s, '')", "split(s, 'o', 2)", "split(s, 'o', -1)", "split(s, 'o', 0)",
            "split(s, '[aeiou]')", "split('a.b.c', '.')", "split('a.b.c', '\\\\.')", "split('a,b,,', ',')",
            "split('a,b,,', ',', 0)", "sentences('Hi there! Good day.')", "str_to_map('a:1,b:2')",
            "str_to_map('a=1;b', ';', '=')"
        ]
    )


@case
def replacing(spark, env):
    return env.evaluate(
        strings(spark), [
            "replace(s, 'o', '0')", "replace(s, 'o')", "replace(s, '', 'x')", "translate(s, 'lo', 'L')",
            "translate(s, 'abc', 'xyz')", "mask('Ab12-x')", "mask('Ab12-x', 'U', 'l', 'd', 'o')",
            "concat(s, '-', n)", "concat_ws('-', s, n, null, 'z')",
            "concat_ws('-', array('a', null, 'b'), 'c')", "concat(s, null)", "nullif(s, '')",
            "coalesce(s, 'none')", "nvl(s, 'n')", "nvl2(s, 'yes', 'no')", "ifnull(s, 'x')",
            "elt(2, 'a', s, 'c')", "elt(5, 'a')"
        ]
    )


@case
def formatting(spark, env):
    return env.evaluate(
        strings(spark), [
            "format_string('%s has %d', s, n)", "format_string('%05d|%-6s|%.2f|%x', n, s, 1.5D, 255)",
            "printf('%s', null)", "format_number(1234567.891, 2)", "format_number(1234567.891, 0)",
            "format_number(0.005, 2)", "format_number(-5, 1)",
            "format_number(12332.123456, '##################.###')", "format_number(1.5, -1)",
            "to_char(1234.5, '9,999.99')", "to_char(-12, 'S999')", "to_char(12.345, '$99.9')",
            "to_number('1,234.50', '9,999.99')", "to_number('$12', '$99')", "try_to_number('abc', '99')",
            "hex(s)", "hex(n)", "hex(255)", "unhex('4A4B')", "unhex('4')", "unhex('zz')", "bin(n)",
            "conv('ff', 16, 10)", "conv('-10', 10, 2)", "conv('zz', 36, 16)", "conv('9', 8, 10)", "chr(65)",
            "char(256)", "chr(-1)"
        ]
    )


@case
def encodings(spark, env):
    return env.evaluate(
        strings(spark), [
            "base64(s)", "unbase64(base64(s))", "cast(unbase64('SGk=') as string)", "unbase64('!!!')",
            "encode(s, 'UTF-8')", "encode(s, 'UTF-16')", "encode('é', 'US-ASCII')",
            "decode(encode(s, 'UTF-8'), 'UTF-8')", "decode(X'ff41', 'UTF-8')", "encode('a', 'latin-9')",
            "soundex(s)", "levenshtein(s, 'Hello')", "levenshtein('kitten', 'sitting', 2)",
            "url_encode('a b&c=é')", "url_decode('a+b%26c')",
            "parse_url('http://u@h.com:80/p/x?q=1&r=2#f', 'HOST')",
            "parse_url('http://u@h.com:80/p/x?q=1&r=2#f', 'QUERY', 'r')",
            "parse_url('http://h.com/p', 'QUERY')", "is_valid_utf8(X'ff')", "luhn_check('79927398713')"
        ]
    )


@case
def comparisons(spark, env):
    return env.evaluate(
        strings(spark), [
            "s = 'Hello World'", "s < 'a'", "s > ''", "s <=> null", "'a' < 'B'", "'a ' = 'a'", "'10' < '9'",
            "'10' < 9", "s between 'A' and 'Z'", "s in ('', 'x')", "s in ('', null)", "greatest(s, 'M')",
            "least(s, 'M', null)"
        ]
    )


@case
def aliases_and_python_functions(spark, env):
    from pyspark.sql import functions as F

    df = strings(spark)
    columns = {
        "concat_ws": F.concat_ws(",", df.s,
                                 F.col("n").cast("string")),
        "regexp_replace": F.regexp_replace("s", r"(\w+) (\w+)", "$2 $1"),
        "split": F.split("s", r"\s+"),
        "substr": df.s.substr(2, 3),
        "getitem": F.split("s", " ")[0],
        "getItem beyond": F.get(F.split("s", " "), 5),
        "like": df.s.like("%o%"),
        "rlike": df.s.rlike("o$|d$"),
        "isin": df.s.isin("", "x"),
        "contains": df.s.contains("o"),
        "when": F.when(df.s == "", "empty").otherwise(df.s),
        "startswith": df.s.startswith("H"),
        "eqNullSafe": df.s.eqNullSafe(None),
        "isNull": df.s.isNull(),
        "lit": F.lit("x"),
        "format_string": F.format_string("%s!", "s"),
        "lpad": F.lpad("s", 4, "#"),
    }
    return {name: env.attempt(lambda: env.table(df.select(c), ordered=True)) for name, c in columns.items()}
