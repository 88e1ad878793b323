-- Version 4: how an adapter learns, what it was taught, duels, and which version made an answer.
ALTER TABLE adapters ADD COLUMN config TEXT NOT NULL DEFAULT '{}';

ALTER TABLE traces ADD COLUMN adapter TEXT;
ALTER TABLE traces ADD COLUMN adapter_version INTEGER;
CREATE INDEX traces_by_adapter ON traces (owner, adapter);

CREATE TABLE lessons (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  owner TEXT NOT NULL,
  adapter TEXT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  -- What it is about; a subject is taught once.
  subject TEXT NOT NULL,
  -- Digest of what was said, so that the same is known when it is said again.
  said_sha256 TEXT NOT NULL,
  when_ms INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('applied', 'rejected')),
  report TEXT NOT NULL,
  entry TEXT NOT NULL,
  -- The version that came of it.
  version INTEGER CHECK ((version IS NOT NULL) = (status = 'applied')),
  UNIQUE (owner, adapter, subject),
  FOREIGN KEY (owner, adapter) REFERENCES adapters (owner, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX lessons_by_subject ON lessons (owner, subject);
CREATE INDEX lessons_by_age ON lessons (when_ms);

CREATE TABLE duels (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  adapter TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL,
  document TEXT NOT NULL,
  chosen TEXT,
  chosen_ms INTEGER CHECK ((chosen_ms IS NULL) = (chosen IS NULL)),
  FOREIGN KEY (owner, adapter) REFERENCES adapters (owner, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX duels_by_adapter ON duels (owner, adapter);
CREATE INDEX duels_by_age ON duels (expires_ms);

-- The journal never changes, and a lesson that led to a version goes only together with its adapter.
CREATE TRIGGER lessons_never_change BEFORE UPDATE ON lessons
BEGIN SELECT RAISE (ABORT, 'a lesson never changes'); END;
CREATE TRIGGER lessons_stay BEFORE DELETE ON lessons
WHEN OLD.version IS NOT NULL AND EXISTS (SELECT 1 FROM adapters WHERE owner = OLD.owner AND id = OLD.adapter)
BEGIN SELECT RAISE (ABORT, 'a lesson goes only with its adapter'); END;

-- A duel is decided once.
CREATE TRIGGER duels_are_decided_once BEFORE UPDATE ON duels
WHEN OLD.chosen IS NOT NULL OR NEW.chosen IS NULL OR (
  NEW.id, NEW.owner, NEW.adapter, NEW.created_ms, NEW.expires_ms, NEW.document
) IS NOT (OLD.id, OLD.owner, OLD.adapter, OLD.created_ms, OLD.expires_ms, OLD.document)
BEGIN SELECT RAISE (ABORT, 'a duel is decided once'); END;

PRAGMA user_version = 4;
