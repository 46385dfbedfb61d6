-- One index of the raw table in place of two: it answers what is newest and what is unprocessed, and every row pays
-- for one entry less.

DROP INDEX IF EXISTS idx_raw_ts;
DROP INDEX IF EXISTS idx_raw_unprocessed;
CREATE INDEX idx_raw_ts_processed ON raw_events_fast (ts, processed);

-- How many rows the event tables have, by layer and severity: of a SOC event its source layer, and its severity after
-- escalation. Kept in the transaction that adds or removes the rows: by these triggers whoever writes, except that
-- the store writer, which has them off, counts a batch at once. Replacing a row is the one thing they do not see.

CREATE TABLE event_counts (
  events_of TEXT    NOT NULL,
  layer     INTEGER NOT NULL,
  severity  TEXT    NOT NULL,
  events    INTEGER NOT NULL,
  PRIMARY KEY (events_of, layer, severity)
) WITHOUT ROWID;
INSERT INTO event_counts (events_of, layer, severity, events)
SELECT 'raw_events_fast', layer, severity, count(*) FROM raw_events_fast GROUP BY layer, severity;
INSERT INTO event_counts (events_of, layer, severity, events)
SELECT 'soc_events_cache', source_layer, severity, count(*) FROM soc_events_cache GROUP BY source_layer, severity;

-- An update and an insert, both without a conflict: that of the statement outside would win over one said in here.
CREATE TRIGGER count_raw_added AFTER INSERT ON raw_events_fast BEGIN
  UPDATE event_counts SET events = events + 1
   WHERE events_of = 'raw_events_fast' AND layer = NEW.layer AND severity = NEW.severity;
  INSERT INTO event_counts SELECT 'raw_events_fast', NEW.layer, NEW.severity, 1 WHERE changes() = 0;
END;
CREATE TRIGGER count_raw_removed AFTER DELETE ON raw_events_fast BEGIN
  UPDATE event_counts SET events = events - 1
   WHERE events_of = 'raw_events_fast' AND layer = OLD.layer AND severity = OLD.severity;
END;
CREATE TRIGGER count_raw_changed AFTER UPDATE OF layer, severity ON raw_events_fast BEGIN
  UPDATE event_counts SET events = events - 1
   WHERE events_of = 'raw_events_fast' AND layer = OLD.layer AND severity = OLD.severity;
  UPDATE event_counts SET events = events + 1
   WHERE events_of = 'raw_events_fast' AND layer = NEW.layer AND severity = NEW.severity;
  INSERT INTO event_counts SELECT 'raw_events_fast', NEW.layer, NEW.severity, 1 WHERE changes() = 0;
END;
CREATE TRIGGER count_soc_added AFTER INSERT ON soc_events_cache BEGIN
  UPDATE event_counts SET events = events + 1
   WHERE events_of = 'soc_events_cache' AND layer = NEW.source_layer AND severity = NEW.severity;
  INSERT INTO event_counts SELECT 'soc_events_cache', NEW.source_layer, NEW.severity, 1 WHERE changes() = 0;
END;
CREATE TRIGGER count_soc_removed AFTER DELETE ON soc_events_cache BEGIN
  UPDATE event_counts SET events = events - 1
   WHERE events_of = 'soc_events_cache' AND layer = OLD.source_layer AND severity = OLD.severity;
END;
CREATE TRIGGER count_soc_changed AFTER UPDATE OF source_layer, severity ON soc_events_cache BEGIN
  UPDATE event_counts SET events = events - 1
   WHERE events_of = 'soc_events_cache' AND layer = OLD.source_layer AND severity = OLD.severity;
  UPDATE event_counts SET events = events + 1
   WHERE events_of = 'soc_events_cache' AND layer = NEW.source_layer AND severity = NEW.severity;
  INSERT INTO event_counts SELECT 'soc_events_cache', NEW.source_layer, NEW.severity, 1 WHERE changes() = 0;
END;
