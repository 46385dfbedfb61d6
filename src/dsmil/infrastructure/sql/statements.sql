-- Every statement of the hot store, by name. Values are always bound, never pasted in.

-- insert_raw --
INSERT INTO raw_events_fast
  (ts, event_id, device_id, layer, source, compartment, category, severity, payload, token_id, clearance,
   ingest_ts, context, stream_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (event_id) DO NOTHING;

-- insert_soc --
INSERT INTO soc_events_cache
  (ts, event_id, severity, category, source_device, source_layer, signals, shrink_metrics, l8_enrichment,
   payload, ingest_ts, original_severity, escalation, correlation_id, score, context, stream_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (event_id) DO NOTHING;

-- insert_model_output --
INSERT INTO model_outputs_fast
  (ts, output_id, device_id, layer, model, input_ref, output_json, score, tops_used, latency_ms, hardware)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (output_id) DO NOTHING;

-- insert_shrink --
INSERT INTO shrink_metrics
  (ts, risk_acute_stress, crisis_level, lbi_hyperfocus_density, sentiment_score, entropy, metrics_json)
VALUES (?, ?, ?, ?, ?, ?, ?);

-- upsert_device --
INSERT INTO device_status
  (device_id, layer, name, status, memory_mb, tops_allocated, last_heartbeat, metadata)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (device_id) DO UPDATE SET
  layer = excluded.layer, name = excluded.name, status = excluded.status,
  memory_mb = coalesce(excluded.memory_mb, memory_mb),
  tops_allocated = coalesce(excluded.tops_allocated, tops_allocated),
  last_heartbeat = excluded.last_heartbeat, metadata = coalesce(excluded.metadata, metadata);

-- upsert_layer --
INSERT INTO layer_state
  (layer, active_devices, memory_used_gb, tops_used, tops_available, event_count, last_update)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (layer) DO UPDATE SET
  active_devices = excluded.active_devices, memory_used_gb = excluded.memory_used_gb,
  tops_used = excluded.tops_used, tops_available = excluded.tops_available,
  event_count = excluded.event_count, last_update = excluded.last_update;

-- refresh_layers --
UPDATE layer_state SET
  active_devices = (SELECT json_group_array(device_id) FROM device_status AS d
                    WHERE d.layer = layer_state.layer AND d.status <> 'OFFLINE' AND d.last_heartbeat > :alive),
  memory_used_gb = (SELECT coalesce(sum(memory_mb), 0) / 1024.0 FROM device_status AS d
                    WHERE d.layer = layer_state.layer AND d.status <> 'OFFLINE' AND d.last_heartbeat > :alive),
  tops_used      = (SELECT coalesce(sum(tops_allocated), 0) FROM device_status AS d
                    WHERE d.layer = layer_state.layer AND d.status <> 'OFFLINE' AND d.last_heartbeat > :alive),
  event_count    = (SELECT coalesce(sum(CASE WHEN json_valid(metadata) THEN metadata ->> 'processed' END), 0) FROM device_status AS d
                    WHERE d.layer = layer_state.layer),
  last_update    = :now
WHERE EXISTS (SELECT 1 FROM device_status AS d WHERE d.layer = layer_state.layer);

-- layer_states --
SELECT * FROM layer_state ORDER BY layer;

-- device_statuses --
SELECT * FROM device_status ORDER BY device_id;

-- recent_shrink --
SELECT * FROM shrink_metrics ORDER BY ts DESC LIMIT ?;

-- recent_model_outputs --
SELECT * FROM model_outputs_fast ORDER BY ts DESC LIMIT ?;

-- recent_raw --
SELECT * FROM raw_events_fast ORDER BY ts DESC LIMIT :limit;

-- recent_raw_of --
SELECT * FROM raw_events_fast WHERE layer = :layer AND severity = :severity ORDER BY ts DESC LIMIT :limit;

-- recent_soc --
SELECT * FROM soc_events_cache ORDER BY ts DESC LIMIT :limit;

-- recent_soc_of --
SELECT * FROM soc_events_cache WHERE severity = :severity ORDER BY ts DESC LIMIT :limit;

-- recent_soc_ids --
SELECT id FROM soc_events_cache ORDER BY ts DESC LIMIT :limit;

-- recent_soc_ids_of --
SELECT id FROM soc_events_cache WHERE severity = :severity ORDER BY ts DESC LIMIT :limit;

-- soc_by_ids --
SELECT soc.* FROM json_each(?) AS wanted JOIN soc_events_cache AS soc ON soc.id = wanted.value ORDER BY wanted.key;

-- raw_by_id --
SELECT * FROM raw_events_fast WHERE event_id = ?;

-- soc_by_id --
SELECT * FROM soc_events_cache WHERE event_id = ?;

-- findings_since --
-- Findings of Layer 3 with all that their events had, in the order of their times.
SELECT raw.* FROM soc_events_cache AS soc JOIN raw_events_fast AS raw ON raw.event_id = soc.event_id
WHERE soc.source_layer = 3 AND soc.ts >= :since ORDER BY soc.ts, soc.event_id;

-- positions --
SELECT * FROM stream_positions ORDER BY stream;

-- position_of --
SELECT last_id FROM stream_positions WHERE stream = ?;

-- move_position --
INSERT INTO stream_positions (stream, last_id, epoch, entries, rows, duplicates, rejected, updated)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (stream) DO UPDATE SET
  last_id = excluded.last_id, epoch = excluded.epoch, entries = entries + excluded.entries, rows = rows + excluded.rows,
  duplicates = duplicates + excluded.duplicates, rejected = rejected + excluded.rejected,
  updated = excluded.updated;

-- oldest_raw --
SELECT id, coalesce(ingest_ts, ts) FROM raw_events_fast WHERE coalesce(ingest_ts, ts) <= ? ORDER BY id LIMIT ?;

-- oldest_soc --
SELECT id, coalesce(ingest_ts, ts) FROM soc_events_cache WHERE coalesce(ingest_ts, ts) <= ? ORDER BY id LIMIT ?;

-- oldest_model --
SELECT id, ts FROM model_outputs_fast WHERE ts <= ? ORDER BY id LIMIT ?;

-- oldest_shrink --
SELECT id, ts FROM shrink_metrics WHERE ts <= ? ORDER BY id LIMIT ?;

-- first_raw --
SELECT coalesce(ingest_ts, ts) FROM raw_events_fast ORDER BY id LIMIT 1;

-- first_soc --
SELECT coalesce(ingest_ts, ts) FROM soc_events_cache ORDER BY id LIMIT 1;

-- first_model --
SELECT ts FROM model_outputs_fast ORDER BY id LIMIT 1;

-- first_shrink --
SELECT ts FROM shrink_metrics ORDER BY id LIMIT 1;

-- chunk_raw --
SELECT max(id) FROM (SELECT id FROM raw_events_fast ORDER BY id LIMIT ?);

-- chunk_soc --
SELECT max(id) FROM (SELECT id FROM soc_events_cache ORDER BY id LIMIT ?);

-- chunk_model --
SELECT max(id) FROM (SELECT id FROM model_outputs_fast ORDER BY id LIMIT ?);

-- chunk_shrink --
SELECT max(id) FROM (SELECT id FROM shrink_metrics ORDER BY id LIMIT ?);

-- delete_raw --
DELETE FROM raw_events_fast WHERE id <= ? AND coalesce(ingest_ts, ts) < ?;

-- delete_soc --
DELETE FROM soc_events_cache WHERE id <= ? AND coalesce(ingest_ts, ts) < ?;

-- delete_model --
DELETE FROM model_outputs_fast WHERE id <= ? AND ts < ?;

-- delete_shrink --
DELETE FROM shrink_metrics WHERE id <= ? AND ts < ?;

-- heard_producer --
INSERT INTO producers (source, device_id, layer, events, first_seen, last_seen, active_minutes, longest_gap)
VALUES (:source, :device_id, :layer, :events, :now, :now, 1, 0)
ON CONFLICT (source, device_id) DO UPDATE SET
  layer = excluded.layer, events = events + excluded.events,
  longest_gap = max(longest_gap, excluded.last_seen - last_seen),
  active_minutes = active_minutes + (CAST(excluded.last_seen / 60 AS INTEGER) > CAST(last_seen / 60 AS INTEGER)),
  last_seen = max(last_seen, excluded.last_seen);

-- producers --
SELECT * FROM producers ORDER BY source, device_id;

-- silent_producers --
SELECT source, device_id, layer, events, last_seen, active_minutes, longest_gap FROM producers
WHERE active_minutes >= :minutes AND :now - last_seen > max(:least, min(3 * longest_gap, :most))
ORDER BY source, device_id;

-- soc_span --
SELECT coalesce(min(id), 0) AS first, coalesce(max(id), 0) AS last FROM soc_events_cache;

-- raw_span --
SELECT coalesce(min(id), 0) AS first, coalesce(max(id), 0) AS last FROM raw_events_fast;

-- arrived_soc --
SELECT id, ts, event_id, severity, original_severity, category, source_device, signals, context
FROM soc_events_cache WHERE id > :after ORDER BY id DESC LIMIT :limit;

-- arrived_soc_grave --
SELECT id, ts, event_id, severity, original_severity, category, source_device, signals, context
FROM soc_events_cache WHERE id > :after AND severity IN ('HIGH', 'CRITICAL') ORDER BY id DESC LIMIT :limit;

-- arrived_soc_escalated --
SELECT id, ts, event_id, severity, original_severity, category, source_device, signals, context
FROM soc_events_cache WHERE id > :after AND original_severity <> severity ORDER BY id DESC LIMIT :limit;

-- event_counts --
SELECT events_of, layer, severity, events FROM event_counts WHERE events > 0 ORDER BY events_of, layer, severity;

-- last_raw --
SELECT coalesce(max(id), 0) FROM raw_events_fast;

-- last_soc --
SELECT coalesce(max(id), 0) FROM soc_events_cache;

-- count_added_raw --
INSERT INTO event_counts (events_of, layer, severity, events)
SELECT 'raw_events_fast', layer, severity, count(*) FROM raw_events_fast NOT INDEXED
WHERE id > ? GROUP BY layer, severity
ON CONFLICT (events_of, layer, severity) DO UPDATE SET events = events + excluded.events;

-- count_added_soc --
INSERT INTO event_counts (events_of, layer, severity, events)
SELECT 'soc_events_cache', source_layer, severity, count(*) FROM soc_events_cache NOT INDEXED
WHERE id > ? GROUP BY source_layer, severity
ON CONFLICT (events_of, layer, severity) DO UPDATE SET events = events + excluded.events;

-- count_removed_raw --
INSERT INTO event_counts (events_of, layer, severity, events)
SELECT 'raw_events_fast', layer, severity, -count(*) FROM raw_events_fast NOT INDEXED
WHERE id <= ? AND coalesce(ingest_ts, ts) < ? GROUP BY layer, severity
ON CONFLICT (events_of, layer, severity) DO UPDATE SET events = events + excluded.events;

-- count_removed_soc --
INSERT INTO event_counts (events_of, layer, severity, events)
SELECT 'soc_events_cache', source_layer, severity, -count(*) FROM soc_events_cache NOT INDEXED
WHERE id <= ? AND coalesce(ingest_ts, ts) < ? GROUP BY source_layer, severity
ON CONFLICT (events_of, layer, severity) DO UPDATE SET events = events + excluded.events;

-- counts_off --
SELECT (SELECT coalesce(sum(events), 0) FROM event_counts WHERE events_of = 'raw_events_fast')
         <> (SELECT count(*) FROM raw_events_fast)
    OR (SELECT coalesce(sum(events), 0) FROM event_counts WHERE events_of = 'soc_events_cache')
         <> (SELECT count(*) FROM soc_events_cache) AS off;

-- forget_counts --
DELETE FROM event_counts;

-- count_raw_anew --
INSERT INTO event_counts (events_of, layer, severity, events)
SELECT 'raw_events_fast', layer, severity, count(*) FROM raw_events_fast GROUP BY layer, severity;

-- count_soc_anew --
INSERT INTO event_counts (events_of, layer, severity, events)
SELECT 'soc_events_cache', source_layer, severity, count(*) FROM soc_events_cache GROUP BY source_layer, severity;
