-- Version 3: what a watch found again and again in one answer is one row, and rows of one owner are counted.
ALTER TABLE interventions ADD COLUMN count INTEGER NOT NULL DEFAULT 1;
CREATE INDEX interventions_by_owner ON interventions (owner, seq);

DROP TRIGGER interventions_never_change;
CREATE TRIGGER interventions_never_change BEFORE UPDATE ON interventions
WHEN NEW.text IS NOT NULL OR (
  NEW.seq, NEW.request, NEW.response, NEW.trace, NEW.owner, NEW.when_ms, NEW.weights_sha256, NEW.policy_sha256,
  NEW.prompt_sha256, NEW.choice, NEW.attempt, NEW.watch, NEW."from", NEW."at", NEW.score, NEW.margin, NEW.state,
  NEW.action, NEW.rule, NEW.guidance, NEW.beta, NEW.ban, NEW.discarded, NEW.span_sha256, NEW.outcome, NEW.count
) IS NOT (
  OLD.seq, OLD.request, OLD.response, OLD.trace, OLD.owner, OLD.when_ms, OLD.weights_sha256, OLD.policy_sha256,
  OLD.prompt_sha256, OLD.choice, OLD.attempt, OLD.watch, OLD."from", OLD."at", OLD.score, OLD.margin, OLD.state,
  OLD.action, OLD.rule, OLD.guidance, OLD.beta, OLD.ban, OLD.discarded, OLD.span_sha256, OLD.outcome, OLD.count
)
BEGIN SELECT RAISE (ABORT, 'an intervention never changes'); END;

PRAGMA user_version = 3;
