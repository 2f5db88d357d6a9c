-- When a venue's screens are on: a JSON array of windows; empty: always.
ALTER TABLE venues ADD COLUMN screen_hours TEXT NOT NULL DEFAULT '[]';
