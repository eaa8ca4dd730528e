-- Attached databases: their tables stand under the source's name.

CREATE TABLE sources (
    source     TEXT PRIMARY KEY NOT NULL,
    -- What kind it is: folder.
    kind       TEXT NOT NULL,
    -- What it needs to be opened, by name.
    options    TEXT NOT NULL CHECK (json_valid(options)),
    created_at INTEGER NOT NULL
);
