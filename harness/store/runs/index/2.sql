-- What a cell took, for the next run to plan with; NULL where an older klto entered it.
ALTER TABLE results ADD COLUMN memory INTEGER;
ALTER TABLE results ADD COLUMN disk INTEGER;
