//! Expressions, each with the protobuf it becomes.

use super::*;

#[test]
fn programs_of_the_notes_become_what_the_client_sends() {
    check(
        expression,
        &[
            (
                "explode(split(value,' ')) as word",
                "explode(split(value, ' ')) AS word",
            ),
            ("InvoiceNumber", "InvoiceNumber"),
            (
                "explode(InvoiceLineItems) as LineItem",
                "explode(InvoiceLineItems) AS LineItem",
            ),
            ("DeliveryAddress.City", "DeliveryAddress.City"),
            ("LineItem.ItemCode", "LineItem.ItemCode"),
            ("value.*", "value.*"),
            ("*", "*"),
            (
                "case when Type == 'BUY' then Amount else 0 end",
                "when(==(Type, 'BUY'), Amount, 0)",
            ),
            ("RTotalBuy - RTotalSell", "-(RTotalBuy, RTotalSell)"),
            (
                "value.ImpressionID as ClickID",
                "value.ImpressionID AS ClickID",
            ),
            (
                "ImpressionID == ClickID AND ClickTime BETWEEN ImpressionTime AND ImpressionTime + interval 15 minute",
                "and(==(ImpressionID, ClickID), between(ClickTime, ImpressionTime, +(ImpressionTime, 900000000 us:interval minute)))",
            ),
            (
                "to_json(named_struct('CustomerCardNo', CustomerCardNo, 'TotalAmount', TotalAmount, 'EarnedLoyaltyPoints', TotalAmount * 0.2)) as value",
                "to_json(named_struct('CustomerCardNo', CustomerCardNo, 'TotalAmount', TotalAmount, 'EarnedLoyaltyPoints', *(TotalAmount, 0.2BD(1,1)))) AS value",
            ),
            ("InvoiceNumber as key", "InvoiceNumber AS key"),
            ("to_json(struct(*)) as value", "to_json(struct(*)) AS value"),
            ("`max(count)` AS count", "`max(count)` AS count"),
            ("count(1)", "count(1)"),
            ("window.start", "window.start"),
            (
                "cast(CreatedTime as timestamp)",
                "cast(CreatedTime as timestamp)",
            ),
            ("upper(trim(name))", "upper(trim(name))"),
        ],
    );
}

#[test]
fn operators_bind_as_in_spark() {
    check(
        expression,
        &[
            ("a + b * c - d / e", "-(+(a, *(b, c)), /(d, e))"),
            ("a || b + c", "+(concat(a, b), c)"),
            ("a < b < c", "<(<(a, b), c)"),
            ("a & b | c ^ d", "|(&(a, b), ^(c, d))"),
            (
                "a << 2 >> 1 >>> 3",
                "shiftrightunsigned(shiftright(shiftleft(a, 2), 1), 3)",
            ),
            ("a >= b", ">=(a, b)"),
            ("a !< b", ">=(a, b)"),
            ("a !> b", "<=(a, b)"),
            ("a <> b", "not(==(a, b))"),
            ("a != b", "not(==(a, b))"),
            ("a == b", "==(a, b)"),
            ("a <=> b", "<=>(a, b)"),
            ("a div b", "div(a, b)"),
            ("a % b", "%(a, b)"),
            ("not a = b and c or d", "or(and(not(==(a, b)), c), d)"),
            ("a or b or c or d or e", "or(or(or(a, b), c), or(d, e))"),
            ("!a", "not(a)"),
            ("not not a", "not(not(a))"),
            ("-a * b", "*(-(a), b)"),
            ("-a[0]", "-(a[0])"),
            ("~a + b", "+(~(a), b)"),
            ("+a", "positive(a)"),
            ("a - -1", "-(a, -1)"),
            ("a -1", "-(a, 1)"),
            ("- 1", "-1"),
            ("1 - - 2", "-(1, -2)"),
            ("a = b between c and d", "between(==(a, b), c, d)"),
            ("a between 1 and 2 = true", "between(a, 1, ==(2, true))"),
            (
                "a is null and not b is not null",
                "and(isNull(a), not(isNotNull(b)))",
            ),
            ("-a::int", "-(cast(a as int))"),
            ("-1::string", "cast(-1 as string)"),
            ("a::int::string", "cast(cast(a as int) as string)"),
            ("a.b[0].c['d'].e", "a.b[0]['c']['d']['e']"),
            ("f(a).b", "f(a)['b']"),
            ("(a).b", "a.b"),
            ("(a)", "a"),
            ("((a))", "a"),
            ("named_struct('a', 1).a", "named_struct('a', 1)['a']"),
            ("map('a', 1)['a']", "map('a', 1)['a']"),
            ("a collate utf8_lcase", "collate(a, 'utf8_lcase')"),
        ],
    );
}

#[test]
fn predicates_become_functions() {
    check(
        expression,
        &[
            ("a not between 0 and 2", "not(between(a, 0, 2))"),
            ("a in (1, 2)", "in(a, 1, 2)"),
            ("a not in ('x')", "not(in(a, 'x'))"),
            (
                "a in (select b from t)",
                "in-subquery(a) where project(t; b)",
            ),
            (
                "(a, b) in (select c, d from t)",
                "in-subquery(a, b) where project(t; c, d)",
            ),
            (
                "exists (select 1 from t)",
                "exists-subquery() where project(t; 1)",
            ),
            (
                "(select max(a) from t) > 1",
                ">(scalar-subquery(), 1) where project(t; max(a))",
            ),
            ("a like 'x%'", "like(a, 'x%')"),
            ("a not like 'x'", "not(like(a, 'x'))"),
            ("a like 'x' escape '#'", "like(a, 'x', '#')"),
            ("a ilike b", "ilike(a, b)"),
            ("a rlike '^x'", "rlike(a, '^x')"),
            ("a regexp b", "rlike(a, b)"),
            (
                "a like any ('x', 'y', 'z')",
                "or(or(like(a, 'x'), like(a, 'y')), like(a, 'z'))",
            ),
            (
                "a not like all ('x', 'y')",
                "and(not(like(a, 'x')), not(like(a, 'y')))",
            ),
            ("a ilike some ('x')", "ilike(a, 'x')"),
            ("a is null", "isNull(a)"),
            ("a is not null", "isNotNull(a)"),
            ("a is true", "<=>(a, true)"),
            ("a is not false", "not(<=>(a, false))"),
            ("a is unknown", "isNull(a)"),
            ("a is not unknown", "isNotNull(a)"),
            ("a is distinct from b", "not(<=>(a, b))"),
            ("a is not distinct from b", "<=>(a, b)"),
            ("a in ()", "INVALID_SQL_SYNTAX.EMPTY_IN_PREDICATE"),
            (
                "a like all ()",
                "INVALID_SQL_SYNTAX.EMPTY_QUANTIFIED_PATTERN",
            ),
            ("a like 'x' escape 'ab'", "INVALID_ESC"),
        ],
    );
}

#[test]
fn literals_have_sparks_types() {
    check(
        expression,
        &[
            ("1", "1"),
            ("1L", "1L"),
            ("1S", "1S"),
            ("1Y", "1Y"),
            ("1.5", "1.5BD(2,1)"),
            ("1.5BD", "1.5BD(2,1)"),
            ("1e3", "1000.0D"),
            ("1.5D", "1.5D"),
            ("1.5f", "1.5F"),
            ("2147483648", "2147483648L"),
            ("-2147483648", "-2147483648"),
            ("-9223372036854775808L", "-9223372036854775808L"),
            ("123456789012345678901", "123456789012345678901BD(21,0)"),
            (".5", "0.5BD(1,1)"),
            ("1.", "1BD(1,0)"),
            ("300Y", "INVALID_NUMERIC_LITERAL_RANGE"),
            ("1e400", "INVALID_NUMERIC_LITERAL_RANGE"),
            ("'a' 'b'", "'ab'"),
            (r#""a""#, "'a'"),
            (r#"r'a\n'"#, r#"'a\n'"#),
            ("'it''s'", "'it's'"),
            ("true", "true"),
            ("null", "null"),
            ("X'1F'", "X'1F'"),
            ("x'0'", "X'00'"),
            ("date '2020-01-05'", "date 18266"),
            (
                "timestamp '2020-01-01 00:00:01.5'",
                "timestamp 1577836801500000",
            ),
            (
                "timestamp '2020-01-01 00:00:00+02:00'",
                "timestamp 1577829600000000",
            ),
            (
                "timestamp_ntz '1970-01-01 00:00:01'",
                "timestamp_ntz 1000000",
            ),
            ("time '00:00:01'", "time 1000000000"),
            ("date 'tomorrow'", "date_add(current_date(), 1)"),
            ("timestamp 'now'", "current_timestamp()"),
            ("date 'x'", "INVALID_TYPED_LITERAL"),
            ("foo 'bar'", "UNSUPPORTED_TYPED_LITERAL"),
        ],
    );
}

#[test]
fn intervals_in_every_form() {
    check(
        expression,
        &[
            ("interval 15 minute", "900000000 us:interval minute"),
            ("interval '15 minutes'", "900000000 us:interval minute"),
            ("interval '15' minute", "900000000 us:interval minute"),
            (
                "interval 1 hour 30 minutes",
                "5400000000 us:interval hour to minute",
            ),
            (
                "interval '1 2:03:04' day to second",
                "93784000000 us:interval day to second",
            ),
            (
                "interval '1-2' year to month",
                "14 months:interval year to month",
            ),
            (
                "interval -'1-2' year to month",
                "-14 months:interval year to month",
            ),
            (
                "interval 1 year 2 months",
                "14 months:interval year to month",
            ),
            ("interval -1 day", "-86400000000 us:interval day"),
            ("interval - 1 day", "-86400000000 us:interval day"),
            ("interval 1 week", "604800000000 us:interval day"),
            ("interval 1.5 seconds", "1500000 us:interval second"),
            (
                "interval '1 day -2 hours'",
                "79200000000 us:interval day to hour",
            ),
            ("interval 100 milliseconds", "100000 us:interval second"),
            ("interval '90' second", "90000000 us:interval second"),
            ("-interval 1 day", "-(86400000000 us:interval day)"),
            (
                "a + interval 1 day * 2",
                "+(a, *(86400000000 us:interval day, 2))",
            ),
            ("interval 1 month 1 day", "_LEGACY_ERROR_TEMP_0029"),
            ("interval 1 quarter", "PARSE_SYNTAX_ERROR"),
            ("interval", "interval"),
            ("interval + 1", "+(interval, 1)"),
            ("interval '1 25' day to hour", "_LEGACY_ERROR"),
            ("interval 'x'", "INVALID_TYPED_LITERAL"),
        ],
    );
}

#[test]
fn calls_and_special_forms() {
    check(
        expression,
        &[
            ("count(*)", "count(1)"),
            ("COUNT(*)", "COUNT(1)"),
            ("count(distinct a, b)", "count(distinct a, b)"),
            ("count(t.*)", "count(t.*)"),
            ("struct(*)", "struct(*)"),
            ("struct(a as x, b)", "struct(a AS x, b)"),
            ("(a, b)", "struct(a, b)"),
            ("(a as x, b)", "struct(a AS x, b)"),
            ("f(a => 1, b => c)", "f(a => 1, b => c)"),
            ("db.f(x)", "!db.f(x)"),
            ("`my db`.`f`(x)", "!`my db`.f(x)"),
            ("first(a ignore nulls)", "first(a, true)"),
            ("first(a) ignore nulls", "first(a, true)"),
            (
                "lag(a) ignore nulls over (order by b)",
                "#ignore_nulls(lag(a)) over ( order b asc first)",
            ),
            (
                "sum(a) filter (where b > 0)",
                "#aggregate_filter(sum(a), >(b, 0))",
            ),
            (
                "percentile_cont(0.5) within group (order by a desc)",
                "#within_group(percentile_cont(0.5BD(1,1)), a desc last)",
            ),
            ("extract(year from ts)", "extract('year', ts)"),
            ("extract(a, b)", "extract(a, b)"),
            ("substring(a from 2)", "substring(a, 2, 2147483647)"),
            ("substring(a from 2 for 3)", "substring(a, 2, 3)"),
            ("substr(a, 2, 3)", "substr(a, 2, 3)"),
            ("trim(a)", "trim(a)"),
            ("trim(both 'x' from a)", "trim('x', a)"),
            ("trim(leading from a)", "ltrim(a)"),
            ("trim('x' from a)", "trim('x', a)"),
            ("position('a' in b)", "locate('a', b, 1)"),
            ("position('a', b)", "position('a', b)"),
            ("overlay(a placing b from 3)", "overlay(a, b, 3, -1)"),
            ("overlay(a placing b from 3 for 2)", "overlay(a, b, 3, 2)"),
            ("timestampadd(DAY, 1, a)", "timestampadd('DAY', 1, a)"),
            ("date_add(day, 1, a)", "timestampadd('day', 1, a)"),
            ("date_add(a, 1)", "date_add(a, 1)"),
            ("datediff(hour, a, b)", "timestampdiff('hour', a, b)"),
            (
                "timestampadd('DAY', 1, a)",
                "INVALID_PARAMETER_VALUE.DATETIME_UNIT",
            ),
            ("current_date", "current_date"),
            ("current_timestamp", "current_timestamp"),
            ("current_timestamp()", "current_timestamp()"),
            ("user", "user"),
            ("if(a, b, c)", "if(a, b, c)"),
            ("left(a, 1)", "left(a, 1)"),
            ("any(a)", "any(a)"),
            ("date(a)", "date(a)"),
            ("int(a)", "int(a)"),
            ("cast(a as decimal(10,2))", "cast(a as decimal(10,2))"),
            ("try_cast(a as array<int>)", "try_cast(a as array<int>)"),
            (
                "a::map<string,array<int>>",
                "cast(a as map<string,array<int>>)",
            ),
            (
                "case a when 1 then 'x' when 2 then 'y' else 'z' end",
                "when(==(a, 1), 'x', ==(a, 2), 'y', 'z')",
            ),
            ("case when a then 1 end", "when(a, 1)"),
            (
                "transform(xs, x -> x + 1)",
                "transform(xs, (x) -> +($x, 1))",
            ),
            (
                "transform(xs, (x, i) -> x.a + i + y)",
                "transform(xs, (x, i) -> +(+($x['a'], $i), y))",
            ),
            (
                "aggregate(xs, 0, (acc, x) -> acc + x, acc -> acc * 2)",
                "aggregate(xs, 0, (acc, x) -> +($acc, $x), (acc) -> *($acc, 2))",
            ),
            (
                "transform(xs, X -> transform(ys, y -> x + y))",
                "transform(xs, (X) -> transform(ys, (y) -> +($X, $y)))",
            ),
            ("identifier('a.b')", "a.b"),
            ("identifier('upper')('x')", "upper('x')"),
            ("explode(m) as (k, v)", "explode(m) AS (k, v)"),
            ("explode(m) (k, v)", "explode(m) AS (k, v)"),
            ("a b", "a AS b"),
            ("a as `b c`", "a AS b c"),
            ("`a b`.`c.d`", "`a b`.`c.d`"),
            ("`a``b`", "`a``b`"),
        ],
    );
}

#[test]
fn windows() {
    check(
        expression,
        &[
            (
                "sum(a) over (partition by b, c order by d desc nulls first, e)",
                "sum(a) over (b, c order d desc first, e asc first)",
            ),
            ("sum(a) over ()", "sum(a) over ()"),
            (
                "row_number() over (order by a)",
                "row_number() over ( order a asc first)",
            ),
            (
                "sum(a) over (order by b rows between unbounded preceding and current row)",
                "sum(a) over ( order b asc first rows unbounded..current)",
            ),
            (
                "sum(a) over (order by b rows between 3 preceding and 1 following)",
                "sum(a) over ( order b asc first rows -3..1)",
            ),
            (
                "sum(a) over (order by b range between interval 1 day preceding and current row)",
                "sum(a) over ( order b asc first range negative(86400000000 us:interval day)..current)",
            ),
            (
                "sum(a) over (rows 3 preceding)",
                "sum(a) over ( rows -3..current)",
            ),
            (
                "sum(a) over (distribute by b sort by c)",
                "sum(a) over (b order c asc first)",
            ),
            (
                "count(distinct a) filter (where b) over (partition by c)",
                "#aggregate_filter(count(distinct a), b) over (c)",
            ),
            ("sum(a) over w", "MISSING_WINDOW_SPECIFICATION"),
        ],
    );
}

#[test]
fn any_keyword_may_name_a_column() {
    check(
        expression,
        &[
            ("all", "all"),
            ("case", "case"),
            ("cast", "cast"),
            ("from", "from"),
            ("in", "in"),
            ("not", "not"),
            ("select", "select"),
            ("interval", "interval"),
            ("end", "end"),
            ("date", "date"),
            ("timestamp", "timestamp"),
            ("a and", "a AS and"),
            ("a as as", "a AS as"),
            ("case when", "case AS when"),
            ("null.a", "null['a']"),
            ("order.by", "order.by"),
            ("not = 1", "==(not, 1)"),
            ("struct", "struct"),
            ("values", "values"),
            ("table.value", "table.value"),
            ("exists", "exists"),
            ("exists(xs, x -> x > 1)", "exists(xs, (x) -> >($x, 1))"),
            ("t.date", "t.date"),
            ("left + right", "+(left, right)"),
        ],
    );
}
