-- Version 1. JSON documents are text: they come back byte for byte as they were given.
PRAGMA application_id = 1416777044;

CREATE TABLE traces (
  -- The order of arrival: two traces of one millisecond still have a newest.
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  response TEXT NOT NULL UNIQUE,
  owner TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  weights_sha256 TEXT NOT NULL,
  receipt TEXT NOT NULL,
  prompt TEXT NOT NULL,
  answers TEXT NOT NULL,
  user_text INTEGER NOT NULL CHECK (user_text IN (0, 1))
) STRICT;
CREATE INDEX traces_by_owner ON traces (owner);
CREATE INDEX traces_by_age ON traces (created_ms);

CREATE TABLE vectors (
  id TEXT PRIMARY KEY,
  sha256 TEXT NOT NULL,
  terms TEXT NOT NULL,
  source TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  bytes BLOB NOT NULL
) STRICT;

CREATE TABLE settings (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  version INTEGER NOT NULL CHECK (version > 0),
  document TEXT NOT NULL
) STRICT;

CREATE TABLE adapters (
  owner TEXT NOT NULL,
  id TEXT NOT NULL,
  method TEXT NOT NULL,
  weights_sha256 TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  PRIMARY KEY (owner, id)
) STRICT;

CREATE TABLE versions (
  owner TEXT NOT NULL,
  adapter TEXT NOT NULL,
  version INTEGER NOT NULL CHECK (version = parent + 1),
  parent INTEGER NOT NULL CHECK (parent >= 0),
  cause TEXT NOT NULL CHECK (cause IN ('feedback', 'duel', 'revert', 'import')),
  created_ms INTEGER NOT NULL,
  detail TEXT NOT NULL,
  state BLOB NOT NULL,
  PRIMARY KEY (owner, adapter, version),
  FOREIGN KEY (owner, adapter) REFERENCES adapters (owner, id) ON DELETE CASCADE
) STRICT;

-- A published version never changes, and goes only together with its adapter.
CREATE TRIGGER adapters_never_change BEFORE UPDATE ON adapters
BEGIN SELECT RAISE (ABORT, 'an adapter never changes'); END;
CREATE TRIGGER versions_never_change BEFORE UPDATE ON versions
BEGIN SELECT RAISE (ABORT, 'a version never changes'); END;
CREATE TRIGGER versions_stay BEFORE DELETE ON versions
WHEN EXISTS (SELECT 1 FROM adapters WHERE owner = OLD.owner AND id = OLD.adapter)
BEGIN SELECT RAISE (ABORT, 'a version goes only with its adapter'); END;

CREATE TABLE audit (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  when_ms INTEGER NOT NULL,
  who TEXT NOT NULL,
  what TEXT NOT NULL,
  object TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_age ON audit (when_ms);
CREATE TRIGGER audit_never_changes BEFORE UPDATE ON audit
BEGIN SELECT RAISE (ABORT, 'the audit log never changes'); END;

PRAGMA user_version = 1;
