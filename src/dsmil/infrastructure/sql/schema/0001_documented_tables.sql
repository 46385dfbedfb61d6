-- The six documented tables, and what the store needs to know about itself.
-- Times are Unix seconds; text such as datetime('now') is refused, or it would sort above every number.
-- Event ids are unique and time-ordered; rows are kept in order of arrival, so the oldest have the lowest id.

CREATE TABLE raw_events_fast (
  id          INTEGER PRIMARY KEY,
  ts          REAL    NOT NULL CHECK (typeof(ts) = 'real'),
  event_id    TEXT    NOT NULL UNIQUE,
  device_id   INTEGER NOT NULL,
  layer       INTEGER NOT NULL,
  source      TEXT    NOT NULL,
  compartment TEXT    NOT NULL,
  category    TEXT    NOT NULL,
  severity    TEXT    NOT NULL,
  payload     BLOB    NOT NULL,
  token_id    INTEGER,
  clearance   INTEGER,
  processed   INTEGER DEFAULT 0,
  ingest_ts   REAL    DEFAULT ((julianday('now') - 2440587.5) * 86400.0) CHECK (typeof(ingest_ts) IN ('real', 'null')),
  context     TEXT,
  stream_id   TEXT
);
CREATE INDEX idx_raw_layer_severity_ts ON raw_events_fast (layer, severity, ts);
CREATE INDEX idx_raw_ts ON raw_events_fast (ts);
CREATE INDEX idx_raw_unprocessed ON raw_events_fast (ts) WHERE processed = 0;

CREATE TABLE model_outputs_fast (
  id          INTEGER PRIMARY KEY,
  ts          REAL    NOT NULL CHECK (typeof(ts) = 'real'),
  output_id   TEXT    NOT NULL UNIQUE,
  device_id   INTEGER NOT NULL,
  layer       INTEGER NOT NULL,
  model       TEXT    NOT NULL,
  input_ref   TEXT,
  output_json TEXT    NOT NULL,
  score       REAL,
  tops_used   REAL,
  latency_ms  REAL,
  hardware    TEXT CHECK (hardware IN ('NPU', 'GPU', 'CPU'))
);
CREATE INDEX idx_model_layer_ts ON model_outputs_fast (layer, ts);
CREATE INDEX idx_model_ts ON model_outputs_fast (ts);

CREATE TABLE layer_state (
  layer          INTEGER PRIMARY KEY,
  active_devices TEXT    NOT NULL,
  memory_used_gb REAL    NOT NULL,
  tops_used      REAL    NOT NULL,
  tops_available REAL    NOT NULL,
  event_count    INTEGER DEFAULT 0,
  last_update    REAL    NOT NULL
);
INSERT INTO layer_state (layer, active_devices, memory_used_gb, tops_used, tops_available, last_update)
VALUES (2, '[]', 0, 0, 102, 0), (3, '[]', 0, 0,  50, 0), (4, '[]', 0, 0, 65, 0), (5, '[]', 0, 0, 105, 0),
       (6, '[]', 0, 0, 160, 0), (7, '[]', 0, 0, 440, 0), (8, '[]', 0, 0, 80, 0), (9, '[]', 0, 0, 200, 0);

CREATE TABLE device_status (
  device_id      INTEGER PRIMARY KEY,
  layer          INTEGER NOT NULL,
  name           TEXT    NOT NULL,
  status         TEXT    NOT NULL CHECK (status IN ('ONLINE', 'OFFLINE', 'BUSY', 'ERROR')),
  memory_mb      REAL,
  tops_allocated REAL,
  last_heartbeat REAL,
  metadata       TEXT
);
CREATE INDEX idx_device_status ON device_status (status);

CREATE TABLE soc_events_cache (
  id                INTEGER PRIMARY KEY,
  ts                REAL    NOT NULL CHECK (typeof(ts) = 'real'),
  event_id          TEXT    NOT NULL UNIQUE,
  severity          TEXT    NOT NULL,
  category          TEXT    NOT NULL,
  source_device     INTEGER NOT NULL,
  source_layer      INTEGER NOT NULL,
  signals           TEXT,
  shrink_metrics    TEXT,
  l8_enrichment     TEXT,
  payload           TEXT    NOT NULL,
  ingest_ts         REAL    DEFAULT ((julianday('now') - 2440587.5) * 86400.0) CHECK (typeof(ingest_ts) IN ('real', 'null')),
  original_severity TEXT,
  escalation        TEXT,
  correlation_id    TEXT,
  score             REAL,
  context           TEXT,
  stream_id         TEXT
);
CREATE INDEX idx_soc_ts ON soc_events_cache (ts);
CREATE INDEX idx_soc_severity_ts ON soc_events_cache (severity, ts);
CREATE INDEX idx_soc_correlation ON soc_events_cache (correlation_id) WHERE correlation_id IS NOT NULL;

CREATE TABLE shrink_metrics (
  id                     INTEGER PRIMARY KEY,
  ts                     REAL NOT NULL CHECK (typeof(ts) = 'real'),
  risk_acute_stress      REAL,
  crisis_level           REAL,
  lbi_hyperfocus_density REAL,
  sentiment_score        REAL,
  entropy                REAL,
  metrics_json           TEXT
);
CREATE INDEX idx_shrink_ts ON shrink_metrics (ts);

-- Up to where each stream has been copied into this store, and what became of every entry:
-- entries = rows + duplicates + rejected, moved in the same transaction as the rows. The epoch names the
-- broker's data: a position is worth nothing on another broker, or after a flush.
CREATE TABLE stream_positions (
  stream     TEXT PRIMARY KEY,
  last_id    TEXT    NOT NULL,
  epoch      TEXT    NOT NULL,
  entries    INTEGER NOT NULL DEFAULT 0,
  rows       INTEGER NOT NULL DEFAULT 0,
  duplicates INTEGER NOT NULL DEFAULT 0,
  rejected   INTEGER NOT NULL DEFAULT 0,
  updated    REAL    NOT NULL
) WITHOUT ROWID;
