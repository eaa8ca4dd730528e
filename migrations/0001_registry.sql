-- The registry: models, their versions, and what was run. Times are microseconds, UTC.

CREATE TABLE models (
    model           TEXT PRIMARY KEY NOT NULL,
    -- The version used where none is named; NULL: the newest.
    default_version INTEGER,
    -- The highest version number ever given; a dropped version's number is not given again.
    last_version    INTEGER NOT NULL,
    created_at      INTEGER NOT NULL
);

CREATE TABLE versions (
    model              TEXT NOT NULL REFERENCES models (model) ON DELETE CASCADE,
    version            INTEGER NOT NULL,
    query              TEXT,
    task               TEXT,
    schema_fingerprint TEXT NOT NULL,
    data_fingerprint   TEXT NOT NULL,
    -- An unsigned 64-bit number, stored as the signed one of the same bits.
    seed               INTEGER NOT NULL,
    options            TEXT NOT NULL,
    metrics            TEXT NOT NULL,
    -- The artefact's folder, relative to the home folder.
    artefact           TEXT NOT NULL,
    checksum           TEXT NOT NULL,
    created_at         INTEGER NOT NULL,
    PRIMARY KEY (model, version),
    CHECK ((query IS NULL) <> (task IS NULL)),
    CHECK (json_valid(options)),
    CHECK (json_valid(metrics))
);

CREATE TABLE runs (
    run_id      INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        TEXT NOT NULL CHECK (kind IN ('train', 'evaluate', 'predict')),
    model       TEXT NOT NULL,
    version     INTEGER,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER,
    status      TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed', 'interrupted')),
    error       TEXT
);

CREATE INDEX runs_by_model ON runs (model, run_id);
