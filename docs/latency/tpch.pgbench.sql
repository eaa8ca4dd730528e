\set id random(1, :n)
PREDICT USING MODEL latency FOR customer.c_custkey = :id;
