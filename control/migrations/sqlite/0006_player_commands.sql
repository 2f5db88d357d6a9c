-- One queue a device, for its agent and for its player.
ALTER TABLE commands ADD COLUMN receiver TEXT NOT NULL DEFAULT 'agent';
