"""psycopg 3 against `relcast serve` over the small shop. Usage: psycopg_client.py PORT"""

import sys
import threading
import time
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import psycopg
from psycopg import errors

QUERY = "PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR EACH customers.customer_id"
CUTOFFS = [datetime(2021, 3, 31), datetime(2021, 9, 30, 12)]


def connect(**settings):
    return psycopg.connect(
        host="127.0.0.1", port=sys.argv[1], user="ana", dbname="relcast", autocommit=True, **settings
    )


def trains(connection):
    told = []
    connection.add_notice_handler(lambda notice: told.append(notice.message_primary))
    figures = connection.execute(f"CREATE MODEL churn AS {QUERY} WITH (epochs = 1)").fetchall()
    assert any(metric == "auroc" for *_, metric, _ in figures), figures
    assert any("epoch" in line for line in told), told
    models = connection.execute("SELECT model, version, is_default FROM relcast.models").fetchall()
    assert models == [("churn", 1, True)], models


def predicts_at_parameters(connection):
    given = "SELECT customer_id, cutoff, probability FROM (PREDICT USING MODEL churn AS OF {}) p ORDER BY 1"
    seen = []
    for cutoff in CUTOFFS:
        rows = connection.execute(given.format("%s"), [cutoff]).fetchall()
        literal = connection.execute(given.format(f"'{cutoff}'")).fetchall()
        assert rows == literal and len(rows) == 40, (rows, literal)
        assert {row[1] for row in rows} == {cutoff}, rows
        seen.append([row[2] for row in rows])
    assert seen[0] != seen[1]
    # The same moment as a date and with a zone.
    zoned = CUTOFFS[0].replace(tzinfo=timezone.utc).astimezone(timezone(timedelta(hours=2)))
    for same in (date(2021, 3, 31), zoned, "2021-03-31"):
        rows = connection.execute(given.format("%s"), [same]).fetchall()
        assert [row[2] for row in rows] == seen[0], same
    # Binary results are the same rows.
    binary = connection.execute(given.format("%s"), [CUTOFFS[0]], binary=True).fetchall()
    assert [row[2] for row in binary] == seen[0]


def prepares():
    one = "SELECT customer_id, probability FROM (PREDICT USING MODEL churn FOR customers.customer_id = %s AS OF %s) p"
    with connect(prepare_threshold=0) as connection:
        for _ in range(3):
            for key in (7, 8, 70000):
                rows = connection.execute(one, [key, CUTOFFS[0]]).fetchall()
                assert [row[0] for row in rows] == [key], rows
        name = "SELECT name FROM customers WHERE customer_id = %s"
        assert connection.execute(name, [3], prepare=True).fetchone() == ("Customer 3",)


def binds_by_type(connection):
    # Wherever a literal may stand, in text and in binary.
    select = "SELECT customer_id, {0}::timestamp FROM customers WHERE customer_id < {1} AND name <> {2}"
    scores = (
        f"SELECT customer_id, cutoff, probability FROM (PREDICT USING MODEL churn FOR customers.customer_id IN ({select})"
        " WITH (threshold = {3})) p ORDER BY 1"
    )
    literal = connection.execute(scores.format(f"'{CUTOFFS[0]}'", 9, "'it''s'", 0.75)).fetchall()
    for form in ("%s", "%b", "%t"):
        rows = connection.execute(scores.format(*[form] * 4), [CUTOFFS[0], 9, "it's", 0.75]).fetchall()
        assert rows == literal and len(rows) == 8, (form, rows)
        figures = connection.execute(f"EVALUATE MODEL churn AS OF {form}", [datetime(2021, 11, 30)]).fetchall()
        assert any(metric == "auroc" for *_, metric, _ in figures), figures
        same = connection.execute(f"SELECT {form}, {form}, {form}", [1.0, CUTOFFS[1], date(2021, 3, 31)]).fetchone()
        assert same == (1.0, CUTOFFS[1], date(2021, 3, 31)) and isinstance(same[0], float), same
        any_of = f"SELECT count(*) FROM customers WHERE customer_id = ANY({form})"
        assert connection.execute(any_of, [[1, 2, 70000]]).fetchone() == (2,)
    # A text without a type takes that of what it is compared with.
    any_of = "SELECT count(*) FROM customers WHERE customer_id = ANY(%s) LIMIT %s"
    assert connection.execute(any_of, ["{1,2,70000}", "1"]).fetchone() == (2,)
    assert connection.execute("SELECT %s", [Decimal("1.5")]).fetchone() == (1.5,)
    for text in ("it's", "it''s", "back\\slash", "x' OR 1=1 -- 'array_in'::regproc", ""):
        assert connection.execute("SELECT CAST(%s AS VARCHAR)", [text]).fetchone() == (text,), text


def writes_and_joins(connection):
    connection.execute("CREATE TABLE leaving AS PREDICT USING MODEL churn")
    assert connection.execute("SELECT count(*) FROM leaving").fetchone() == (40,)
    inserted = connection.execute("INSERT INTO leaving PREDICT USING MODEL churn AS OF %s", [CUTOFFS[0]])
    assert inserted.rowcount == 40, inserted.rowcount
    joined = connection.execute(
        "SELECT c.name, p.probability FROM (PREDICT USING MODEL churn AS OF %s) p"
        " JOIN customers c USING (customer_id) WHERE c.customer_id = %s",
        [CUTOFFS[1], 3],
    ).fetchall()
    assert [name for name, _ in joined] == ["Customer 3"], joined
    with connection.transaction():
        assert connection.execute("SELECT 1").fetchone() == (1,)


def reads_the_catalog(connection):
    relation = "SELECT oid, relnamespace, relkind FROM pg_class WHERE relname = 'orders'"
    for binary in (False, True):
        [(oid, namespace, kind)] = connection.execute(relation, binary=binary).fetchall()
        assert isinstance(oid, int) and isinstance(namespace, int) and kind == "r", (oid, namespace, kind)
        columns = connection.execute(
            "SELECT attname, atttypid FROM pg_attribute WHERE attrelid = %s ORDER BY attnum", [oid], binary=binary
        ).fetchall()
        assert [name for name, _ in columns] == ["order_id", "customer_id", "ordered_at", "amount"], columns
        assert columns[0][1] == 20, columns
    # The oid as a name, beside an oid.
    shown = connection.execute("SELECT c.oid, 'orders'::regclass FROM pg_class c WHERE c.oid = 'orders'::regclass")
    assert shown.fetchall() == [(oid, oid)]
    keys = connection.execute(
        "SELECT conname, contype, conkey, confkey, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = 'orders'::regclass ORDER BY contype"
    ).fetchall()
    assert keys == [
        ("orders_customer_id_fkey", "f", [2], [1], "FOREIGN KEY (customer_id) REFERENCES customers(customer_id)"),
        ("orders_pkey", "p", [1], None, "PRIMARY KEY (order_id)"),
    ], keys
    # As other programs ask for the columns of a primary key.
    key = connection.execute(
        "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid"
        " AND a.attnum = ANY(i.indkey) WHERE i.indrelid = 'orders'::regclass AND i.indisprimary"
    ).fetchall()
    assert key == [("order_id",)], key
    assert connection.execute("SELECT current_database(), current_setting('server_version')").fetchone() == (
        "relcast",
        "16.6",
    )


def copies(connection):
    rows = "SELECT customer_id, name FROM customers ORDER BY 1 LIMIT 2"
    with connection.cursor().copy(f"COPY ({rows}) TO STDOUT") as copy:
        assert list(copy.rows()) == [("1", "Customer 1"), ("2", "Customer 2")]
    with connection.cursor().copy(f"COPY ({rows}) TO STDOUT WITH (FORMAT csv, HEADER)") as copy:
        text = b"".join(bytes(block) for block in copy)
    assert text == b"customer_id,name\n1,Customer 1\n2,Customer 2\n", text


def fails_well(connection):
    wrong = "SELECT *\nFROM custmers"
    for sql, values in ((wrong, None), (f"{wrong} WHERE customer_id = %s", [1])):
        try:
            connection.execute(sql, values)
        except errors.UndefinedTable as error:
            assert error.sqlstate == "42P01"
            assert error.diag.statement_position == "15", error.diag.statement_position
            assert "customers" in (error.diag.message_hint or ""), error.diag.message_hint
        else:
            raise AssertionError("a table that is not there was read")
    assert connection.execute("SELECT 1 + 1").fetchone() == (2,)


def cancels(connection):
    asked = []

    def cancel():
        time.sleep(3)
        asked.append(time.monotonic())
        connection.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    try:
        connection.execute(f"CREATE MODEL endless AS {QUERY} WITH (epochs = 10000, batch_size = 1)")
    except errors.QueryCanceled:
        assert time.monotonic() - asked[0] < 3
    else:
        raise AssertionError("a training that was cancelled ended well")
    canceller.join()
    names = connection.execute("SELECT model FROM relcast.models").fetchall()
    assert names == [("churn",)], names


with connect() as connection:
    trains(connection)
    predicts_at_parameters(connection)
    prepares()
    binds_by_type(connection)
    writes_and_joins(connection)
    reads_the_catalog(connection)
    copies(connection)
    fails_well(connection)
    cancels(connection)
