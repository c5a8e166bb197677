"""Queries judged by what they give: what is refused, what order means, what databases show."""

import itertools
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import verifiers
from factory import plugins
from factory.errors import PluginError
from factory.types import Completion, Judgement, Outcome, Problem
from verifiers import _sql_case, _sql_data, _sql_engine, _sql_mutants, _sql_text, _sql_values
from verifiers._sql_compare import expect, run
from verifiers._sql_engine import Budget, Database, Failed, Spent
from verifiers._sql_text import NotOneQuery
from verifiers.sql import Verifier

SCHEMA = """
CREATE TABLE teams (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE players (
    id INTEGER PRIMARY KEY,
    team_id INTEGER REFERENCES teams (id),
    captain_id INTEGER REFERENCES players (id),
    name TEXT NOT NULL,
    score REAL,
    joined DATE NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('back', 'front'))
);
"""
CALENDAR = "CREATE TABLE days (day TEXT, n INTEGER, x REAL, note TEXT COLLATE NOCASE);"
COUNTING = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) "
VERIFIER = Verifier()


def problem(answer: str | None, schema: str = SCHEMA, **spec: Any) -> Problem:
    return Problem(id="x", prompt="?", answer=answer, spec={"schema": schema, **spec})


def verdict(answer: str, query: str, verifier: Verifier = VERIFIER, **spec: Any) -> Judgement:
    completion = Completion(text=f"```sql\n{query}\n```")
    return verifier.verify(problem(answer, **spec), completion)


def accepts(answer: str, query: str, verifier: Verifier = VERIFIER, **spec: Any) -> bool:
    outcome = verdict(answer, query, verifier, **spec).outcome
    assert outcome in (Outcome.CORRECT, Outcome.INCORRECT)
    return outcome is Outcome.CORRECT


# --- the engine can do nothing but read ----------------------------------------------------------


@pytest.fixture
def image() -> bytes:
    with Database() as database:
        database.define("CREATE TABLE t (a INTEGER, b TEXT); INSERT INTO t VALUES (1, 'x');")
        return database.image()


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t VALUES (2, 'y')",
        "UPDATE t SET a = 2",
        "DELETE FROM t",
        "DROP TABLE t",
        "CREATE TABLE u (a)",
        "CREATE TEMP TABLE u (a)",
        "CREATE VIRTUAL TABLE u USING fts5 (a)",
        "ATTACH 'file' AS other",
        "DETACH main",
        "PRAGMA user_version = 3",
        "PRAGMA table_info(t)",
        "VACUUM",
        "VACUUM INTO 'file'",
        "BEGIN",
        "REINDEX",
        "ANALYZE",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM sqlite_schema",
        "SELECT * FROM pragma_table_info('t')",
        "SELECT * FROM dbstat",
        "SELECT load_extension('file')",
        "SELECT fts3_tokenizer('simple')",
        "SELECT random()",
        "SELECT hex(randomblob(4))",
        "SELECT sqlite_version()",
        "SELECT changes(), total_changes(), last_insert_rowid()",
        "SELECT CURRENT_TIMESTAMP",
        "SELECT date()",
        "SELECT datetime('NOW')",
        "SELECT strftime('%s', ' now ')",
        "SELECT julianday(lower('NOW'))",
        "SELECT datetime('2020-01-01', 'localtime')",
        "SELECT unixepoch('subsec')",
    ],
)
def test_everything_but_reading_is_refused(image, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Failed):
        run(image, text, Budget())
    assert not list(tmp_path.iterdir())


def test_dates_without_a_clock_are_what_the_engine_says(image):
    text = "SELECT date('2024-02-28', '+1 day'), strftime('%Y/%j', '2024-12-31'), julianday(0.5)"
    plain = sqlite3.connect(":memory:")
    assert run(image, text, Budget()).rows == tuple(plain.execute(text))
    plain.close()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            COUNTING + "SELECT count(*) FROM r",
            "steps",
        ),
        (COUNTING + "SELECT n FROM r", "rows"),
        ("SELECT " + "(" * 500 + "1" + ")" * 500, "depth|overflow"),
        ("SELECT " + ", ".join(["a"] * 500) + " FROM t", "columns"),
        ("SELECT printf('%.*c', 60000, 'x') || printf('%.*c', 60000, 'y') FROM t", "too big"),
        (" UNION ALL ".join(["SELECT 1"] * 50), "compound"),
        ("SELECT a FROM t WHERE b LIKE '" + "%a" * 200 + "'", "complex"),
    ],
)
def test_what_is_too_large_is_refused(image, text, reason):
    with pytest.raises(Failed, match=reason):
        run(image, text, Budget())


def test_steps_are_counted_over_all_runs(image):
    text = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 30000) "
    budget = Budget(left=1_000_000)
    for _ in range(2):
        assert run(image, text + "SELECT count(*) FROM r", budget).rows == ((30_000,),)
    with pytest.raises(Spent):
        run(image, text + "SELECT count(*) FROM r", budget)


def test_a_schema_can_only_define_and_fill():
    for script in ("DROP TABLE IF EXISTS t; CREATE TABLE t (a)", "PRAGMA foreign_keys = ON;"):
        with Database() as database:
            database.define(script)
    for script in (
        "ATTACH 'f' AS g",
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END",
        "(",
    ):
        with Database() as database, pytest.raises(Failed):
            database.define(f"CREATE TABLE t (a); {script}")


def test_a_default_that_reads_the_clock_is_not_used():
    with Database() as database:
        database.define("CREATE TABLE t (a, made TEXT DEFAULT CURRENT_TIMESTAMP)")
        database.insert("t", [[1, "2020-01-01"]])
        with pytest.raises(Failed, match="present moment"):
            database.define("INSERT INTO t (a) VALUES (1)")


# --- reading a query -----------------------------------------------------------------------------


def test_only_the_last_order_by_and_limit_count():
    query = _sql_text.parse(
        "WITH c AS (SELECT a FROM t ORDER BY a LIMIT 3) -- LIMIT 9\n"
        "SELECT a, row_number() OVER (ORDER BY a) FROM c WHERE b <> 'ORDER BY' /* ORDER BY */"
    )
    assert not query.ordered
    assert query.window() == (0, None)
    query = _sql_text.parse("SELECT a FROM t ORDER BY a DESC, b -- ties\n LIMIT 2, 5 ;;")
    assert query.ordered
    assert query.window() == (2, 5)
    assert query.unlimited.split("--")[0].rstrip().endswith("b")
    broken = query.with_ties_broken(1, "ASC", limited=True)
    assert broken == "SELECT a FROM t ORDER BY a DESC, b, 1 COLLATE BINARY ASC LIMIT 2, 5"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ";",
        "-- nothing",
        "SELECT 1; SELECT 2",
        "DELETE FROM t",
        "EXPLAIN SELECT 1",
        "SELECT ?1",
        "SELECT :a",
        "SELECT 'open",
        "SELECT 1)",
        "SELECT \0",
        "SELECT '\ud800'",
        "SELECT \u2018a\u2019",
        "SELECT 1" + " " * 20_000,
    ],
)
def test_what_is_not_one_query(text):
    with pytest.raises(NotOneQuery):
        _sql_text.parse(text)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(alphabet="SELECTab'\"`[]();,.-/*0 1x\n\u00e4|<>=", max_size=60))
def test_tokens_cover_the_text(text):
    try:
        tokens = _sql_text.tokenize(text)
    except NotOneQuery:
        return
    assert all(text[t.start : t.end] == t.text for t in tokens)
    assert all(one.end <= other.start for one, other in itertools.pairwise(tokens))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(max_size=200) | st.text(alphabet="`~sql \nSELECT1;", max_size=80))
def test_any_completion_is_judged(text):
    outcome = VERIFIER.verify(problem("SELECT name FROM teams"), Completion(text=text)).outcome
    assert outcome in (Outcome.UNPARSABLE, Outcome.INCORRECT)


# --- when results are the same -------------------------------------------------------------------


ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), max_size=9)


def table(rows: list[tuple[int, ...]]) -> bytes:
    with Database() as database:
        database.define("CREATE TABLE t (a INTEGER, b INTEGER, c INTEGER)")
        database.insert("t", rows)
        return database.image()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(ROWS, st.integers(0, 4), st.integers(0, 10), st.data())
def test_ties_may_come_in_any_order_and_nothing_else_may(rows, offset, count, data):
    text = f"SELECT a, b, c FROM t ORDER BY a, b DESC LIMIT {count} OFFSET {offset}"
    expected = expect(table(rows), _sql_text.parse(text), Budget())
    shuffled = data.draw(st.permutations(rows))
    keyed = sorted(shuffled, key=lambda row: (row[0], -row[1]))
    assert expected.accepts(keyed[offset : offset + count])
    wrong = data.draw(st.permutations(rows))[offset : offset + count]
    keys = [(row[0], row[1]) for row in wrong]
    right = [(row[0], row[1]) for row in keyed[offset : offset + count]]
    if keys != right:
        assert not expected.accepts(wrong)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(ROWS, ROWS)
def test_bags_are_the_same_exactly_if_their_sorted_rows_are(one, other):
    expected = expect(table(one), _sql_text.parse("SELECT * FROM t"), Budget())
    assert expected.accepts(other) == (sorted(one) == sorted(other))


def test_values_differ_by_type_and_floats_hardly_matter():
    text = "SELECT 1, 1.0, '1', x'31', NULL, 0.1 + 0.2, 1e-20 FROM t"
    expected = expect(table([(1, 1, 1)]), _sql_text.parse(text), Budget())
    right = (1, 1.0, "1", b"1", None, 0.3, 1e-20)
    assert expected.accepts([right])
    for place, wrong in ((0, 1.0), (0, True), (1, 1), (2, 1), (2, b"1"), (3, "1"), (4, 0)):
        row = (*right[:place], wrong, *right[place + 1 :])
        assert not expected.accepts([row]), row
    assert not expected.accepts([(*right[:5], 0.3000001, 1e-20)])
    assert not expected.accepts([(*right[:6], 1e-21)])
    assert not expected.accepts([right, right])
    assert not expected.accepts([])


def test_the_order_of_columns_can_be_left_open():
    free = Verifier(any_column_order=True)
    answer = "SELECT name, id FROM teams"
    assert not accepts(answer, "SELECT id, name FROM teams")
    assert accepts(answer, "SELECT id, name FROM teams", free)
    assert not accepts(answer, "SELECT id, id FROM teams", free)
    assert not accepts(answer, "SELECT id, upper(name) FROM teams", free)
    answer = "SELECT id, team_id, captain_id FROM players ORDER BY id"
    assert accepts(answer, "SELECT captain_id, id, team_id FROM players ORDER BY 2", free)
    assert not accepts(answer, "SELECT captain_id, id, team_id FROM players ORDER BY 1", free)


def test_what_a_reference_leaves_open_is_left_open():
    answer = "SELECT name FROM players WHERE id = (SELECT max(id) FROM players) LIMIT 1"
    assert accepts(answer, "SELECT name FROM players ORDER BY id DESC LIMIT 1")
    answer = "SELECT name, score FROM players ORDER BY score LIMIT 3"
    assert accepts(answer, "SELECT name, score FROM players ORDER BY score, joined LIMIT 3")
    assert not accepts(answer, "SELECT name, score FROM players ORDER BY score, joined LIMIT 2")
    # In an order of their own within the ties of the reference, yet by chance alone:
    answer = "SELECT name FROM players ORDER BY joined, name"
    assert not accepts(answer, "SELECT name FROM players ORDER BY joined")


def test_a_collation_of_the_table_decides_what_is_a_tie():
    answer = "SELECT note, n FROM days ORDER BY note"
    assert accepts(answer, "SELECT note, n FROM days ORDER BY lower(note)", schema=CALENDAR)
    binary = "SELECT note, n FROM days ORDER BY note COLLATE BINARY"
    assert not accepts(answer, binary, schema=CALENDAR)


# --- references ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "no answer"),
        ("  ", "no answer"),
        ("DROP TABLE teams", "begins with SELECT"),
        ("SELECT nope FROM teams", "no such column"),
        ("SELECT 1", "a constant would do"),
        ("SELECT name FROM teams WHERE 0", "no rows"),
        ("SELECT name FROM teams LIMIT 2", "order in which rows are stored"),
        ("SELECT name FROM teams ORDER BY id LIMIT 1 + 1", "plain numbers"),
        ("SELECT group_concat(name) FROM players", "order in which rows are stored"),
        ("SELECT name, max(id), joined FROM players GROUP BY role, random()", "random"),
        ("SELECT date('now') FROM teams", "present moment"),
    ],
)
def test_references_that_cannot_be_trusted(answer, reason):
    with pytest.raises(ValueError, match=reason):
        VERIFIER.reference(problem(answer))
    judgement = VERIFIER.verify(problem(answer), Completion(text="SELECT name FROM teams"))
    assert judgement.outcome is Outcome.ERROR
    assert judgement.detail.startswith("the problem: ")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"schema": 3}, "spec.schema must be text"),
        ({"schema": "CREATE TABLE t (a"}, "spec.schema: "),
        ({"schema": "SELECT 1"}, "defines no table"),
        ({"databases": {"teams": []}}, "must be a list"),
        ({"databases": [{"temas": []}]}, "no table 'temas'; tables: teams, players"),
        ({"databases": [{"teams": [[1]]}]}, "2 values a row, got 1"),
        ({"databases": [{"teams": [[1, "a"], [1, "b"]]}]}, "UNIQUE"),
        ({"databases": ["DELETE FROM teams"]}, "number 1"),
        ({"databases": [3]}, "a script of INSERTs, or rows by table"),
        ({"databases": [{"teams": [[n, f"{n}"] for n in range(60_000)]}]}, "more than 100000"),
    ],
)
def test_broken_problems_say_what_is_broken(spec, reason):
    broken = problem("SELECT name FROM teams", **spec)
    with pytest.raises(ValueError, match=reason):
        VERIFIER.reference(broken)


@pytest.mark.parametrize("generated", [3, 201])
def test_options_are_checked(generated):
    with pytest.raises(PluginError, match="4 to 200 databases"):
        plugins.build("verifier", "sql", {"generated": generated})


def test_given_databases_are_used_in_either_form():
    rows = [{"teams": [[1, "Reds"], [2, "Blues"]]}]
    script = ["INSERT INTO teams VALUES (1, 'Reds'), (2, 'Blues')"]
    for databases in (rows, script):
        case = _sql_case.of(problem("SELECT name FROM teams", databases=databases), 4)
        assert case.given[0]["teams"] == [(1, "Reds"), (2, "Blues")]
        assert case.bases[0].name == "given database 1"


# --- generated databases -------------------------------------------------------------------------


def drawn(query: str, schema: str = SCHEMA, count: int = 40) -> list[dict[str, Any]]:
    tables = _sql_data.read_schema(schema)
    tokens = [_sql_text.tokenize(text) for text in (query, schema)]
    columns = {t.name: [c.name for c in t.columns] for t in tables}
    pools = _sql_values.pools((), columns, _sql_data.references(tables), tokens)
    found = []
    for images in itertools.islice(_sql_data.databases(schema, tables, pools, query), count):
        both = []
        for image in images:
            with Database(image) as database:
                assert not database.connection.execute("PRAGMA foreign_key_check").fetchall()
                both.append(_sql_data.contents(database))
        assert [sorted(map(repr, rows)) for rows in both[0].values()] == [
            sorted(map(repr, rows)) for rows in both[1].values()
        ]
        found.append(both[0])
    return found


def test_databases_hold_what_tells_queries_apart():
    found = drawn("SELECT name FROM players WHERE score > 10 AND joined < '2021-05-01'")
    players = [rows["players"] for rows in found]
    assert players[0] == []
    every = [row for rows in players for row in rows]
    assert {10.0, 9.75, 10.25} <= {row[4] for row in every}
    assert {"2021-05-01", "2021-04-30", "2021-05-02"} <= {row[5] for row in every}
    assert any(row[4] is None for row in every)
    assert {row[6] for row in every} == {"back", "front"}  # as the CHECK has it
    assert any(len({row[4] for row in rows}) < len(rows) for rows in players)
    assert any(not rows["teams"] and rows["players"] for rows in found)
    assert any(row[2] == row[0] for row in every)  # a captain of their own


def test_databases_are_as_large_as_a_query_counts():
    found = drawn("SELECT role FROM players GROUP BY role HAVING count(*) > 30")
    assert max(len(rows["players"]) for rows in found) > 60


def test_databases_are_always_the_same():
    query = "SELECT name FROM players WHERE score > 10"
    assert drawn(query, count=12) == drawn(query, count=12)


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE TABLE a (x INTEGER PRIMARY KEY, y REFERENCES b (z));"
        "CREATE TABLE b (z UNIQUE, w REFERENCES a);",
        "CREATE TABLE a (x, y, PRIMARY KEY (x, y)) WITHOUT ROWID;"
        "CREATE TABLE b (x, y, FOREIGN KEY (x, y) REFERENCES a);",
        "CREATE TABLE a (x INTEGER, y INTEGER GENERATED ALWAYS AS (x * 2) STORED, CHECK (x > 5));",
        'CREATE TABLE "a ""b" ("select" VARCHAR(3), "from" DATETIME, [x y] BOOLEAN, z BLOB);',
        "CREATE TABLE a (x INTEGER PRIMARY KEY AUTOINCREMENT, d TEXT DEFAULT CURRENT_TIMESTAMP,"
        " CHECK (date(d) NOT NULL));",
        "CREATE TABLE a (x REFERENCES nowhere (y)); CREATE VIEW v AS SELECT x FROM a;",
        "CREATE TABLE a (x TEXT CHECK (json_extract(x, '$') IS NOT 'zz'));",
    ],
)
def test_any_schema_is_filled(schema):
    assert any(any(rows.values()) for rows in drawn("SELECT 1", schema, count=14))


# --- how much the databases show -----------------------------------------------------------------

# Pairs that differ in a way that a few friendly rows do not show.
UNLIKE = [
    ("SELECT name FROM players WHERE score > 10", "SELECT name FROM players WHERE score >= 10"),
    ("SELECT name FROM players WHERE score > 10", "SELECT name FROM players WHERE score > 10.5"),
    (
        "SELECT t.name, sum(score) FROM teams t JOIN players p ON p.team_id = t.id GROUP BY t.id "
        "HAVING sum(score) > 20",
        "SELECT t.name, sum(score) FROM teams t JOIN players p ON p.team_id = t.id GROUP BY t.id "
        "HAVING max(score) > 20",
    ),
    ("SELECT avg(score) FROM players", "SELECT sum(score) / count(*) FROM players"),
    ("SELECT count(team_id) FROM players", "SELECT count(*) FROM players"),
    ("SELECT count(DISTINCT name) FROM players", "SELECT count(name) FROM players"),
    (
        "SELECT name FROM players WHERE team_id NOT IN (SELECT id FROM teams WHERE name = 'a')",
        "SELECT name FROM players WHERE team_id IS NOT (SELECT id FROM teams WHERE name = 'a')",
    ),
    (
        "SELECT name FROM players WHERE joined LIKE '2020%'",
        "SELECT name FROM players WHERE joined >= '2020-01-01'",
    ),
    (
        "SELECT name FROM players WHERE joined BETWEEN '2020-01-01' AND '2020-12-31'",
        "SELECT name FROM players WHERE joined > '2020-01-01' AND joined < '2021-01-01'",
    ),
    (
        "SELECT name FROM players WHERE score = (SELECT max(score) FROM players)",
        "SELECT name FROM players ORDER BY score DESC LIMIT 1",
    ),
    (
        "SELECT p.name FROM players p, players c WHERE p.captain_id = c.id AND p.score > c.score",
        "SELECT p.name FROM players p, players c WHERE p.captain_id = c.id AND p.score >= c.score",
    ),
    (
        "SELECT name, rank() OVER (ORDER BY score) FROM players",
        "SELECT name, dense_rank() OVER (ORDER BY score) FROM players",
    ),
    (
        "SELECT name FROM players WHERE score > 1",
        "SELECT name FROM players WHERE score > 1 AND id < 500",
    ),
    ("SELECT name FROM players", "SELECT name FROM players WHERE name <> 'Quentin'"),
    ("SELECT name FROM players", "SELECT name FROM players WHERE length(name) <> 17"),
    ("SELECT name FROM players", "SELECT name FROM players WHERE id % 13 <> 5"),
    (
        "SELECT name FROM players",
        "SELECT name FROM players WHERE (SELECT count(*) FROM players) < 90",
    ),
]


@pytest.mark.parametrize(("answer", "query"), UNLIKE)
def test_what_differs_on_few_databases_is_found(answer, query):
    assert accepts(answer, answer)
    assert not accepts(answer, query)


GROUPED = "SELECT team_id, max(score) FROM players GROUP BY team_id HAVING min(score) > 20"
UNTESTED = [
    ("SELECT name FROM teams", "SELECT name FROM teams LIMIT 100000"),
    ("SELECT name FROM teams", "SELECT name FROM teams LIMIT 7 * 1000"),
    ("SELECT name FROM teams", "SELECT name FROM teams LIMIT 000000000999"),
    ("SELECT name FROM teams", "SELECT name FROM teams LIMIT (SELECT 9999)"),
    ("SELECT name FROM teams", "SELECT name FROM (SELECT name FROM teams LIMIT 1000)"),
    ("SELECT name FROM teams", "SELECT name FROM teams WHERE (SELECT count(*) FROM teams) < 9999"),
    ("SELECT name FROM teams", "SELECT name FROM teams WHERE (SELECT sum(1) FROM teams) < 9999"),
    (GROUPED, f"{GROUPED} LIMIT 10"),
    (GROUPED, f"SELECT * FROM ({GROUPED} LIMIT 10)"),
    (GROUPED, f"{GROUPED} AND count(*) < 1000"),
    (GROUPED, GROUPED.replace("SELECT", "SELECT DISTINCT", 1)),
    (GROUPED.replace("SELECT", "SELECT DISTINCT", 1), GROUPED),
    (f"{GROUPED} ORDER BY team_id LIMIT 12", f"{GROUPED} ORDER BY team_id"),
    ("SELECT name FROM teams ORDER BY name LIMIT 1000", "SELECT name FROM teams ORDER BY name"),
    ("SELECT count(*) FROM teams", "SELECT count(*) FROM (SELECT 1 FROM teams LIMIT 5000)"),
    ("SELECT name FROM teams", "SELECT name FROM teams WHERE hex(name) <> '4A6F686E'"),
    ("SELECT name FROM teams", "SELECT name FROM teams WHERE hex(name) <> '4A6F686E' AND id = id"),
]


@pytest.mark.parametrize(("answer", "query"), UNTESTED)
def test_what_no_database_puts_to_the_test_is_not_accepted(answer, query):
    assert verdict(answer, answer).outcome is Outcome.CORRECT
    judgement = verdict(answer, query)
    assert judgement.outcome is Outcome.UNSURE
    assert "no database" in judgement.detail


def test_what_does_nothing_by_its_nature_is_no_claim():
    captain = "SELECT p.name, c.name FROM players p LEFT JOIN players c ON c.id = p.captain_id"
    for answer, query in (
        ("SELECT count(*) FROM teams", "SELECT count(*) FROM teams LIMIT 1"),
        (
            captain,
            "SELECT name, (SELECT c.name FROM players c WHERE c.id = p.captain_id LIMIT 1) "
            "FROM players p",
        ),
        (
            "SELECT name FROM players WHERE score > 3",
            "SELECT name FROM players WHERE 1 = 1 AND score > 3",
        ),
        (
            "SELECT name FROM players WHERE joined LIKE '2021-06-%'",
            "SELECT name FROM players WHERE joined BETWEEN '2021-06-01' AND '2021-06-30'",
        ),
        (GROUPED, f"{GROUPED} ORDER BY 2, 1"),
        (
            "SELECT name FROM teams WHERE id IN (SELECT team_id FROM players WHERE score > 3)",
            "SELECT name FROM teams WHERE id IN (SELECT DISTINCT team_id FROM players "
            "WHERE score > 3)",
        ),
        ("SELECT DISTINCT role FROM players", "SELECT role FROM players GROUP BY role"),
    ):
        assert verdict(answer, query).outcome is Outcome.CORRECT, query


def test_nearly_all_mutants_are_told_apart():
    answer = (
        "SELECT t.name, count(*) AS n FROM teams AS t JOIN players AS p ON p.team_id = t.id "
        "WHERE p.role = 'front' AND p.score >= 12.5 GROUP BY t.id HAVING n > 2 "
        "ORDER BY n DESC, t.name"
    )
    case = _sql_case.of(problem(answer), VERIFIER.generated)
    texts = list(_sql_mutants.mutants(case.reference, ["id", "name", "score", "joined"]))
    left = [text for text in texts if VERIFIER._judge(case, text)[0] is Outcome.CORRECT]
    assert len(texts) > 60
    # Each of these means the same: (team, name) is as good a key as team, and n > 2 needs a team.
    assert len(left) <= 5, left


GOLDEN_FILE = Path(verifiers.__file__).parent / "golden" / "sql.jsonl"
GOLDEN = [json.loads(line) for line in GOLDEN_FILE.read_text(encoding="utf-8").splitlines()]
REFERENCES = {case["answer"]: case for case in GOLDEN if case["outcome"] == "correct"}


@pytest.mark.parametrize("answer", REFERENCES)
def test_perturbed_references_are_many_and_wrong(answer):
    asked = Problem(id="x", prompt="", answer=answer, spec=REFERENCES[answer]["spec"])
    texts = list(itertools.islice(VERIFIER.perturb(asked), 24))
    assert len(set(texts)) == len(texts) >= 20
    assert texts == list(itertools.islice(VERIFIER.perturb(asked), 24))
    for text in texts:
        assert VERIFIER.verify(asked, Completion(text=text)).outcome is Outcome.INCORRECT


def test_a_verdict_is_the_same_whatever_was_judged_before():
    answer, query = "SELECT name FROM players WHERE score > 10", "SELECT name FROM players"
    first = verdict(answer, query)
    _sql_case._prepare.cache_clear()
    for other in ("SELECT 1", "SELECT name FROM players WHERE id = 3"):
        verdict(answer, other)
    assert verdict(answer, query) == first
    assert _sql_engine.MAX_STEPS < _sql_engine.MAX_TOTAL_STEPS
