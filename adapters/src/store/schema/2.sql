-- Version 2: what monitors did to answers.
CREATE TABLE interventions (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  request TEXT NOT NULL,
  response TEXT NOT NULL,
  -- The trace of the same answer, whether or not it is kept.
  trace TEXT NOT NULL,
  owner TEXT NOT NULL,
  when_ms INTEGER NOT NULL,
  weights_sha256 TEXT NOT NULL,
  policy_sha256 TEXT,
  prompt_sha256 TEXT NOT NULL,
  choice INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  watch TEXT NOT NULL,
  "from" INTEGER NOT NULL,
  "at" INTEGER NOT NULL,
  score REAL,
  margin REAL,
  state TEXT,
  action TEXT NOT NULL,
  rule TEXT NOT NULL,
  guidance TEXT NOT NULL,
  beta REAL,
  ban TEXT NOT NULL,
  discarded INTEGER NOT NULL,
  span_sha256 TEXT,
  text TEXT,
  outcome TEXT NOT NULL
) STRICT;
CREATE INDEX interventions_by_age ON interventions (when_ms);
CREATE INDEX interventions_by_request ON interventions (request);
CREATE INDEX interventions_by_response ON interventions (response);
CREATE INDEX interventions_by_trace ON interventions (trace);

-- An intervention never changes. Its text alone may go.
CREATE TRIGGER interventions_never_change BEFORE UPDATE ON interventions
WHEN NEW.text IS NOT NULL OR (
  NEW.seq, NEW.request, NEW.response, NEW.trace, NEW.owner, NEW.when_ms, NEW.weights_sha256, NEW.policy_sha256,
  NEW.prompt_sha256, NEW.choice, NEW.attempt, NEW.watch, NEW."from", NEW."at", NEW.score, NEW.margin, NEW.state,
  NEW.action, NEW.rule, NEW.guidance, NEW.beta, NEW.ban, NEW.discarded, NEW.span_sha256, NEW.outcome
) IS NOT (
  OLD.seq, OLD.request, OLD.response, OLD.trace, OLD.owner, OLD.when_ms, OLD.weights_sha256, OLD.policy_sha256,
  OLD.prompt_sha256, OLD.choice, OLD.attempt, OLD.watch, OLD."from", OLD."at", OLD.score, OLD.margin, OLD.state,
  OLD.action, OLD.rule, OLD.guidance, OLD.beta, OLD.ban, OLD.discarded, OLD.span_sha256, OLD.outcome
)
BEGIN SELECT RAISE (ABORT, 'an intervention never changes'); END;

-- What was discarded goes with the trace of what was said.
CREATE TRIGGER interventions_lose_text AFTER DELETE ON traces
BEGIN UPDATE interventions SET text = NULL WHERE trace = OLD.id AND text IS NOT NULL; END;

PRAGMA user_version = 2;
