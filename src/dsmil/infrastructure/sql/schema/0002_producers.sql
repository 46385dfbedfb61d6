-- Who speaks: one row for each source and the device it speaks through, kept by the store writer in the transaction
-- that adds the rows. It tells who has fallen silent without a look through the events.

CREATE TABLE producers (
  source         TEXT    NOT NULL,
  device_id      INTEGER NOT NULL,
  layer          INTEGER NOT NULL,
  events         INTEGER NOT NULL,
  first_seen     REAL    NOT NULL,
  last_seen      REAL    NOT NULL,
  -- Minutes of the clock in which it was heard: a file that was read once has few, a living source many.
  active_minutes INTEGER NOT NULL,
  -- The longest it has been silent between two batches, seconds.
  longest_gap    REAL    NOT NULL,
  PRIMARY KEY (source, device_id)
) WITHOUT ROWID;
