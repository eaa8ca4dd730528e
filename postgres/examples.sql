-- What the functions are for. Runs over a relcast server with customers and orders, such as the
-- shop of `relcast demo`, once the server and a user mapping are set up (docs/postgres.md).

-- Train, and see how good the model is on held-out time.
SELECT metric, value
FROM relcast.train('churn', $$
    PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR EACH customers.customer_id
$$)
WHERE split = 'test' AND history = 'rolling' AND "by" = 'model';

-- Predictions as a materialized view: indexed, joined like any table, computed anew when asked to.
CREATE MATERIALIZED VIEW leaving AS
SELECT * FROM relcast.predict($$PREDICT USING MODEL churn$$) AS t(
    customer_id bigint, cutoff timestamp, prediction boolean, probability double precision,
    in_sample boolean, data_until timestamp);
CREATE UNIQUE INDEX leaving_customer ON leaving (customer_id);
REFRESH MATERIALIZED VIEW CONCURRENTLY leaving;

-- A trigger that writes down with each ticket how likely its customer is to leave.
CREATE TABLE tickets (
    ticket_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL,
    words text NOT NULL,
    churn double precision
);

CREATE FUNCTION rate_ticket() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.churn := relcast.predict_json('churn', NEW.customer_id) ->> 'probability';
    RETURN NEW;
EXCEPTION WHEN sqlclient_unable_to_establish_sqlconnection THEN
    -- A ticket is worth more than its rating.
    RAISE WARNING 'ticket of customer % without rating: %', NEW.customer_id, SQLERRM;
    RETURN NEW;
END
$$;
CREATE TRIGGER rate_ticket BEFORE INSERT ON tickets FOR EACH ROW EXECUTE FUNCTION rate_ticket();

INSERT INTO tickets (customer_id, words) VALUES (7, 'Where is my parcel?');
SELECT customer_id, churn FROM tickets;
