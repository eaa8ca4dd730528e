-- What a version was trained on, and by which relcast: NULL for those that were registered before.

-- The newest moment in the tables that the labels read.
ALTER TABLE versions ADD COLUMN data_until INTEGER;
ALTER TABLE versions ADD COLUMN code_version TEXT;
