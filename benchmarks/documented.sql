-- The two event tables with the documented columns, unique event ids, and an index for each documented query.
-- What the reference loop and the peers write to. It stays as it is when the product's own layout changes.
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;

CREATE TABLE IF NOT EXISTS raw_events_fast (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  ts REAL NOT NULL,
  event_id TEXT NOT NULL UNIQUE,
  device_id INTEGER NOT NULL,
  layer INTEGER NOT NULL,
  source TEXT NOT NULL,
  compartment TEXT NOT NULL,
  category TEXT NOT NULL,
  severity TEXT NOT NULL,
  payload BLOB NOT NULL,
  token_id INTEGER,
  clearance INTEGER,
  processed INTEGER DEFAULT 0
);
CREATE INDEX IF NOT EXISTS idx_raw_ts ON raw_events_fast (ts);
CREATE INDEX IF NOT EXISTS idx_raw_layer ON raw_events_fast (layer, ts);
CREATE INDEX IF NOT EXISTS idx_raw_processed ON raw_events_fast (processed, ts);

CREATE TABLE IF NOT EXISTS soc_events_cache (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  ts REAL NOT NULL,
  event_id TEXT NOT NULL UNIQUE,
  severity TEXT NOT NULL,
  category TEXT NOT NULL,
  source_device INTEGER NOT NULL,
  source_layer INTEGER NOT NULL,
  signals TEXT,
  shrink_metrics TEXT,
  l8_enrichment TEXT,
  payload TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_soc_ts ON soc_events_cache (ts);
CREATE INDEX IF NOT EXISTS idx_soc_severity ON soc_events_cache (severity, ts);
