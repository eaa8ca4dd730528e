"""SQLAlchemy 2 and pandas against `relcast serve` over the small shop. Usage: sqlalchemy_pandas.py PORT"""

import sys
import threading
import time
from datetime import datetime

import pandas
from sqlalchemy import BigInteger, DateTime, Float, MetaData, Table, Text, create_engine, exc, inspect, select, text

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
    assert catalog.get_schema_names() == ["information_schema", "public", "relcast"]
    assert "models" in catalog.get_view_names(schema="relcast")
    kinds = [(one["name"], type(one["type"])) for one in catalog.get_columns("orders")]
    wanted = {"order_id": BigInteger, "customer_id": BigInteger, "ordered_at": DateTime, "amount": Float}
    assert [name for name, _ in kinds] == list(wanted), kinds
    assert all(issubclass(kind, wanted[name]) for name, kind in kinds), kinds
    assert [one["name"] for one in catalog.get_columns("models", schema="relcast")][:2] == ["model", "version"]
    assert catalog.get_pk_constraint("orders")["constrained_columns"] == ["order_id"]
    assert catalog.get_pk_constraint("leaving")["constrained_columns"] == []
    [link] = catalog.get_foreign_keys("orders")
    assert (link["constrained_columns"], link["referred_table"]) == (["customer_id"], "customers"), link
    assert link["referred_columns"] == ["customer_id"] and link["name"] == "orders_customer_id_fkey"
    assert catalog.get_foreign_keys("customers") == []
    assert catalog.get_indexes("orders") == [] and catalog.get_unique_constraints("orders") == []
    assert catalog.get_enums() == [] and catalog.get_check_constraints("orders") == []


def reads_the_information_schema():
    columns = pandas.read_sql(
        text(
            "SELECT column_name, ordinal_position, data_type FROM information_schema.columns"
            " WHERE table_name = :name ORDER BY ordinal_position"
        ),
        engine,
        params={"name": "customers"},
    )
    assert columns.to_dict("split")["data"] == [
        ["customer_id", 1, "bigint"],
        ["name", 2, "text"],
        ["signed_up", 3, "timestamp without time zone"],
    ], columns
    links = pandas.read_sql(
        """
        SELECT k.table_name, k.column_name, u.table_name AS parent, u.column_name AS parent_column,
            r.unique_constraint_name
        FROM information_schema.table_constraints c
        JOIN information_schema.key_column_usage k ON k.constraint_name = c.constraint_name
        JOIN information_schema.constraint_column_usage u ON u.constraint_name = c.constraint_name
        JOIN information_schema.referential_constraints r ON r.constraint_name = c.constraint_name
        WHERE c.constraint_type = 'FOREIGN KEY'
        """,
        engine,
    )
    assert links.to_dict("split")["data"] == [
        ["orders", "customer_id", "customers", "customer_id", "customers_pkey"]
    ], links


def reads_tables_it_has_looked_up():
    orders = Table("orders", MetaData(), autoload_with=engine)
    assert [column.name for column in orders.primary_key] == ["order_id"], orders.primary_key
    customers = orders.metadata.tables["customers"]
    assert isinstance(customers.c.name.type, Text)
    joined = select(customers.c.name).join(orders).where(orders.c.order_id == 1)
    with engine.connect() as connection:
        assert connection.execute(joined).scalar_one() == "Customer 1"
    everything = MetaData()
    everything.reflect(engine)
    assert {"customers", "orders", "leaving"} <= set(everything.tables)
    frame = pandas.read_sql_table("customers", engine, index_col="customer_id")
    assert len(frame) == 40 and frame.loc[3, "name"] == "Customer 3"
    assert frame["signed_up"].iloc[0] == datetime(2020, 1, 1)


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
reads_the_information_schema()
reads_tables_it_has_looked_up()
fails_well()
cancels()
