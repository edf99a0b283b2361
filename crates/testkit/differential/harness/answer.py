"""Answers as text: what a program observed, without what varies from run to run.

An answer is JSON. Two engines agree when the text of their answers is equal, so that `1` and `1.0`
differ as they do for a user. Values are written thus:

| value            | in the answer                                  |
|------------------|------------------------------------------------|
| float            | shortest text that reads back; NaN and infinities as strings |
| decimal          | string, trailing zeros kept                    |
| timestamp, date  | ISO 8601 in UTC / as is                        |
| interval         | string `<n> days, h:mm:ss` as Python prints it |
| bytes            | `0x` and hex digits                            |
| top-level row    | list, because names may repeat                 |
| struct           | object, or list of pairs when names repeat     |
| map              | list of [key, value], ordered by key           |
| path, uuid, #id  | `<scratch>`, `<data>`, `<uuid>`, `#id`         |
"""

import datetime
import decimal
import json
import math
import re

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_EXPRESSION_ID = re.compile(r"#\d+L?\b")
_LINE_WIDTH = 110


def value(v):
    """One cell of a row."""
    if v is None or isinstance(v, (bool, int, str)):
        return v
    if isinstance(v, float):
        return v if math.isfinite(v) else repr(v)
    if isinstance(v, decimal.Decimal):
        return format(v, "f")
    if isinstance(v, (datetime.datetime, datetime.date)):
        return v.isoformat()
    if isinstance(v, datetime.timedelta):
        return str(v)
    if isinstance(v, (bytes, bytearray)):
        return "0x" + bytes(v).hex()
    if hasattr(v, "__fields__"):
        names = list(v.__fields__)
        if len(set(names)) == len(names):
            return {n: value(x) for n, x in zip(names, v)}
        return [[n, value(x)] for n, x in zip(names, v)]
    if isinstance(v, dict):
        return sorted(([value(k), value(x)] for k, x in v.items()), key=_order)
    if isinstance(v, (list, tuple)):
        return [value(x) for x in v]
    raise TypeError(f"no way to write a {type(v).__name__} into an answer: {v!r}")


def rows(collected, *, ordered: bool = False):
    """Rows as lists; sorted by their text unless the program defines their order."""
    listed = [[value(x) for x in row] for row in collected]
    return listed if ordered else sorted(listed, key=_order)


def added(before, after):
    """The rows of `after` beyond those of `before`, counting repetitions."""
    rest = list(after)
    for row in before:
        if row in rest:
            rest.remove(row)
    return rest


def _order(item) -> str:
    return json.dumps(item, ensure_ascii=False, sort_keys=True)


def schema(struct_type, *, nullability: bool = False):
    """A schema as `name type` lines; with `nullability`, ` not null` where Spark says so."""
    return [f"{f.name} {_type(f.dataType, nullability)}{_null(f.nullable, nullability)}" for f in struct_type.fields]


def _null(nullable: bool, shown: bool) -> str:
    return "" if nullable or not shown else " not null"


def _type(t, shown: bool) -> str:
    kind = t.typeName() if hasattr(t, "typeName") else ""
    if kind == "array":
        return f"array<{_type(t.elementType, shown)}{_null(t.containsNull, shown)}>"
    if kind == "map":
        entry = f"{_type(t.valueType, shown)}{_null(t.valueContainsNull, shown)}"
        return f"map<{_type(t.keyType, shown)}, {entry}>"
    if kind == "struct":
        return f"struct<{', '.join(schema(t, nullability=shown))}>"
    return t.simpleString()


# What the Connect client has an exception class for; it reports every other as `UnknownException`.
_CONNECT_CLASSES = {
    "AnalysisException", "ArithmeticException", "ArrayIndexOutOfBoundsException", "DateTimeException",
    "IllegalArgumentException", "NumberFormatException", "ParseException", "PythonException",
    "QueryExecutionException", "SparkException", "SparkNoSuchElementException", "SparkRuntimeException",
    "SparkUpgradeException", "StreamingQueryException", "UnsupportedOperationException",
}


def error(e: BaseException):
    """An error as the user can tell it: exception class, condition, SQLSTATE and parameters.

    The text is told (its first line) where parameters do not determine it: without a condition, and
    for Spark's `_LEGACY_ERROR_TEMP_` conditions.
    """
    java = getattr(e, "java_exception", None)
    name = type(e).__name__
    if java is not None:  # classic PySpark wraps only some Java classes, Connect names a few more
        name = _known_class(java) or "UnknownException"
        condition, state, parameters = _of_java(java)
        text = java.getMessage() or ""
    else:
        condition, state = _ask(e, "getCondition"), _ask(e, "getSqlState")
        parameters, text = _ask(e, "getMessageParameters"), str(e)
    described = {"exception": name}
    if condition is not None:
        parameters = dict(parameters or {})
        if condition == "STREAM_FAILED":
            parameters = {"message": parameters.get("message", "").splitlines()[:1]}
        described["condition"] = condition
        described["sqlState"] = state
        described["parameters"] = dict(sorted(parameters.items()))
    if condition is None or condition.startswith("_LEGACY_ERROR_TEMP_"):
        line = (text.strip().splitlines() or [""])[0]
        line = re.sub(r"^\((\w+\.)+\w+\) ", "", line)  # Connect names the Java class it does not know
        described["message"] = re.sub(r"^\[_LEGACY_ERROR_TEMP_\d+\] ", "", line).removesuffix(";")
    return described


def _known_class(java):
    """The nearest class of the hierarchy that the Connect client knows by name, if any."""
    known = java.getClass()
    while known is not None:
        if known.getSimpleName() in _CONNECT_CLASSES:
            return known.getSimpleName()
        known = known.getSuperclass()
    return None


def _of_java(java):
    try:
        return java.getCondition(), java.getSqlState(), dict(java.getMessageParameters())
    except Exception:  # not a SparkThrowable
        return None, None, None


def _ask(e, method: str):
    try:
        return getattr(e, method)()
    except Exception:  # an exception of Python's own has no such method
        return None


def stable(answer, replacements: dict[str, str]):
    """`answer` with paths, uuids and expression ids replaced, in keys and values alike."""
    if isinstance(answer, str):
        for literal, name in replacements.items():
            answer = answer.replace(literal, name)
        return _EXPRESSION_ID.sub("#id", _UUID.sub("<uuid>", answer))
    if isinstance(answer, dict):
        return {stable(k, replacements): stable(v, replacements) for k, v in answer.items()}
    if isinstance(answer, (list, tuple)):
        return [stable(v, replacements) for v in answer]
    if answer is None or isinstance(answer, (bool, int, float)):
        return answer
    raise TypeError(f"a {type(answer).__name__} is not an answer; use answer.value: {answer!r}")


_COUNTS = re.compile(r"(?<=: )\d+ rows|total \d+ updated \d+ removed \d+ ")
_MEAN = re.compile(r"(?<= avg )[^;]+")


def without_counts(answer):
    """`answer` without the rows that batches read and operators kept; late rows stay. Mean event times are told to five
    milliseconds: Spark has them from one row to the next in floating point, and misses some by one."""
    if isinstance(answer, str):
        return _MEAN.sub(lambda mean: _to_five_milliseconds(mean[0]), _COUNTS.sub("", answer))
    if isinstance(answer, dict):
        return {k: without_counts(v) for k, v in answer.items()}
    return [without_counts(v) for v in answer] if isinstance(answer, list) else answer


def _to_five_milliseconds(told: str) -> str:
    time = datetime.datetime.fromisoformat(told.removesuffix("Z")) + datetime.timedelta(milliseconds=2)
    return (time - datetime.timedelta(microseconds=time.microsecond % 5000)).isoformat(timespec="milliseconds")


def dump(answer, indent: int = 0) -> str:
    """JSON that reads and diffs well: whatever fits on a line stays on one, keys keep their order."""
    flat = json.dumps(answer, ensure_ascii=False)
    if not isinstance(answer, (dict, list)) or not answer or len(flat) + indent <= _LINE_WIDTH:
        return flat
    pad = "  " * (indent // 2 + 1)
    if isinstance(answer, dict):
        items = [f"{pad}{json.dumps(str(k), ensure_ascii=False)}: {dump(v, indent + 2)}" for k, v in answer.items()]
        opening, closing = "{", "}"
    else:
        items = [f"{pad}{dump(v, indent + 2)}" for v in answer]
        opening, closing = "[", "]"
    return f"{opening}\n" + ",\n".join(items) + f"\n{'  ' * (indent // 2)}{closing}"
