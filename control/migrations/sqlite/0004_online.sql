-- How long a sign of life counts, as far as the device says when the next one comes.
ALTER TABLE devices ADD COLUMN online_for_ms INTEGER NOT NULL DEFAULT 0;
