\set id random(1, :n)
PREDICT USING MODEL latency FOR drivers."driverId" = :id;
