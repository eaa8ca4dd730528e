-- Views that SQL created: what they read is planned anew whenever they are read.

CREATE TABLE views (
    -- The database that they are of, by the name of the folder of its created tables.
    database   TEXT NOT NULL,
    view       TEXT NOT NULL COLLATE NOCASE,
    -- The CREATE VIEW as written.
    sql        TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (database, view)
);
