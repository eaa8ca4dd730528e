"""SQLAlchemy 2 and pandas against `relcast serve` over the small shop. Usage: sqlalchemy_pandas.py PORT"""

import sys
import threading
import time
from datetime import datetime

import pandas
from sqlalchemy import BigInteger, column, create_engine, exc, inspect, select, table, text

QUERY = "PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR EACH customers.customer_id"
CUTOFFS = [datetime(2021, 3, 31), datetime(2021, 9, 30, 12)]

engine = create_engine(f"postgresql+psycopg://ana@127.0.0.1:{sys.argv[1]}/relcast")


def trains():
    with engine.begin() as connection:
        connection.execute(text(f"CREATE MODEL churn AS {QUERY} WITH (epochs = 1)"))
    models = pandas.read_sql("SELECT model, version FROM relcast.models", engine)
    assert models.to_dict("list") == {"model": ["churn"], "version": [1]}, models


def predicts_into_frames():
    joined = """
        SELECT c.name, p.customer_id, p.cutoff, p.probability
        FROM (PREDICT USING MODEL churn AS OF {}) p JOIN customers c USING (customer_id)
        ORDER BY p.customer_id
    """
    frames = []
    for cutoff in CUTOFFS:
        frame = pandas.read_sql(text(joined.format(":cutoff")), engine, params={"cutoff": cutoff})
        literal = pandas.read_sql(text(joined.format(f"'{cutoff}'")), engine)
        pandas.testing.assert_frame_equal(frame, literal, check_exact=True)
        assert len(frame) == 40 and (frame["cutoff"] == cutoff).all(), frame
        assert frame["name"][2] == "Customer 3"
        assert frame["customer_id"].dtype == "int64" and frame["probability"].dtype == "float64"
        assert frame["probability"].between(0, 1).all()
        frames.append(frame)
    assert not frames[0]["probability"].equals(frames[1]["probability"])


def writes():
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE leaving AS PREDICT USING MODEL churn"))
    assert pandas.read_sql("SELECT count(*) AS n FROM leaving", engine)["n"][0] == 40


def reads_the_catalog():
    catalog = inspect(engine)
    names = catalog.get_table_names() + catalog.get_view_names()
    assert {"customers", "orders", "leaving"} <= set(names), names
    assert catalog.has_table("orders") and not catalog.has_table("ordrs")
    columns = pandas.read_sql(
        text(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = :name ORDER BY ordinal_position"
        ),
        engine,
        params={"name": "customers"},
    )
    assert list(columns["column_name"]) == ["customer_id", "name", "signed_up"], columns
    customers = table("customers", column("customer_id", BigInteger), column("name"))
    with engine.connect() as connection:
        named = select(customers.c.name).where(customers.c.customer_id == 3)
        assert connection.execute(named).scalar_one() == "Customer 3"


def fails_well():
    with engine.connect() as connection:
        try:
            connection.execute(text("SELECT *\nFROM custmers"))
        except exc.ProgrammingError as error:
            assert error.orig.sqlstate == "42P01", error
            assert error.orig.diag.statement_position == "15", error
        else:
            raise AssertionError("a table that is not there was read")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1 + 1")).scalar_one() == 2


def cancels():
    with engine.connect() as connection:
        below = connection.connection.driver_connection
        asked = []

        def cancel():
            time.sleep(3)
            asked.append(time.monotonic())
            below.cancel()

        canceller = threading.Thread(target=cancel)
        canceller.start()
        try:
            connection.execute(text(f"CREATE MODEL endless AS {QUERY} WITH (epochs = 10000, batch_size = 1)"))
        except exc.OperationalError as error:
            assert error.orig.sqlstate == "57014", error
            assert time.monotonic() - asked[0] < 3
        else:
            raise AssertionError("a training that was cancelled ended well")
        canceller.join()
    assert len(pandas.read_sql("SELECT model FROM relcast.models", engine)) == 1


trains()
predicts_into_frames()
writes()
reads_the_catalog()
fails_well()
cancels()
