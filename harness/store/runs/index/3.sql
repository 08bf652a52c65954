-- Runs that another run replaces, because it was merged from them.
CREATE TABLE replaced (
    name TEXT NOT NULL,
    -- The run that replaces it.
    run INTEGER NOT NULL REFERENCES runs,
    PRIMARY KEY (name, run)
) WITHOUT ROWID;
