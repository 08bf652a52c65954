-- The first form of the index. Runs are ordered by their names, which begin with the time.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    recorded TEXT NOT NULL,
    revision TEXT NOT NULL,
    head TEXT NOT NULL,
    -- How many cells have that outcome.
    pass INTEGER NOT NULL DEFAULT 0,
    fail INTEGER NOT NULL DEFAULT 0,
    error INTEGER NOT NULL DEFAULT 0,
    skip INTEGER NOT NULL DEFAULT 0,
    -- The sources had a mutation: the run says nothing of the kernel.
    is_mutated INTEGER NOT NULL
);

CREATE TABLE cells (
    id INTEGER PRIMARY KEY,
    matrix TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (matrix, name)
);

-- What a record looked at.
CREATE TABLE checked (
    id INTEGER PRIMARY KEY,
    json TEXT NOT NULL UNIQUE
);

-- Records, without what may differ although the result is the same.
CREATE TABLE bodies (
    id INTEGER PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    checked INTEGER NOT NULL REFERENCES checked,
    outcome TEXT NOT NULL,
    image INTEGER NOT NULL
);

CREATE TABLE findings (
    id INTEGER PRIMARY KEY,
    number TEXT NOT NULL UNIQUE,
    place TEXT NOT NULL,
    object TEXT NOT NULL,
    evidence TEXT NOT NULL
);

-- The findings of a record, and whether each counts.
CREATE TABLE found (
    body INTEGER NOT NULL REFERENCES bodies,
    finding INTEGER NOT NULL REFERENCES findings,
    is_open INTEGER NOT NULL,
    PRIMARY KEY (body, finding)
) WITHOUT ROWID;

-- By cell, then by run: the history of a cell is one range.
CREATE TABLE results (
    cell INTEGER NOT NULL REFERENCES cells,
    run INTEGER NOT NULL REFERENCES runs,
    body INTEGER NOT NULL REFERENCES bodies,
    -- Distinguishes everything that the result depends on.
    job INTEGER NOT NULL,
    seconds REAL NOT NULL,
    PRIMARY KEY (cell, run)
) WITHOUT ROWID;
