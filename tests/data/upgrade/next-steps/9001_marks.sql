-- A schema step of a version that does not exist. half_way() is a function that the test brings along.
CREATE TABLE marks (mark TEXT NOT NULL, made REAL);
ALTER TABLE soc_events_cache ADD COLUMN marked INTEGER DEFAULT 0;
INSERT INTO marks (mark, made) VALUES ('first', 1.0);
UPDATE soc_events_cache SET marked = 1;
SELECT half_way();
INSERT INTO marks (mark, made) VALUES ('second', 2.0);
DROP INDEX idx_soc_ts;
CREATE INDEX idx_soc_ts ON soc_events_cache (ts, marked);
