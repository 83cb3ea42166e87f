-- Ids are the 16 bytes of a UUID; times are microseconds since 1970, UTC.

-- Requests (kind 0) and leases (kind 1). `body` is the state; the columns are there to find it by.
CREATE TABLE rows (
    kind       INTEGER NOT NULL CHECK (kind IN (0, 1)),
    id         BLOB    NOT NULL CHECK (length(id) = 16),
    version    INTEGER NOT NULL CHECK (version > 0),
    state      TEXT    NOT NULL,
    is_final   INTEGER NOT NULL CHECK (is_final IN (0, 1)),
    request    BLOB    NOT NULL CHECK (length(request) = 16),
    target     TEXT,
    lane       TEXT,
    job        TEXT    NOT NULL,
    repository TEXT    NOT NULL,
    tenant     TEXT    NOT NULL,
    due_at     INTEGER,
    body       TEXT    NOT NULL,
    PRIMARY KEY (kind, id),
    CHECK ((target IS NULL) = (lane IS NULL))
) STRICT;

CREATE INDEX lease_due   ON rows (due_at, target, lane) WHERE kind = 1 AND is_final = 0 AND due_at IS NOT NULL;
CREATE INDEX request_due ON rows (due_at)               WHERE kind = 0 AND is_final = 0 AND due_at IS NOT NULL;
CREATE INDEX lease_lane  ON rows (target, lane, state, due_at) WHERE kind = 1 AND is_final = 0;
CREATE INDEX lease_open  ON rows (id)      WHERE kind = 1 AND is_final = 0;
CREATE INDEX lease_state ON rows (state, id) WHERE kind = 1 AND is_final = 0;
CREATE INDEX lease_job   ON rows (job, id) WHERE kind = 1;
CREATE INDEX lease_request ON rows (request, id) WHERE kind = 1;

-- What must stay in force: a grant by its handle, or all that was issued before a moment. The owner
-- is that of the lease it comes from, kept so that a budget can count it. Without `issued_by` no
-- watermark may take its place.
CREATE TABLE holds (
    target     TEXT    NOT NULL,
    lane       TEXT    NOT NULL,
    held       TEXT    NOT NULL,
    lease      BLOB    CHECK (length(lease) = 16),
    until      INTEGER NOT NULL,
    issued_by  INTEGER,
    job        TEXT,
    repository TEXT,
    tenant     TEXT,
    PRIMARY KEY (target, lane, held)
) STRICT, WITHOUT ROWID;

CREATE INDEX hold_due ON holds (until, target, lane);

-- When a lane must be looked at although nothing in it is due.
CREATE TABLE looks (
    target TEXT    NOT NULL,
    lane   TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (target, lane)
) STRICT, WITHOUT ROWID;

CREATE INDEX look_due ON looks (at, target, lane);

-- What holds for the whole installation: standing orders, and the orders they name.
CREATE TABLE sheets (
    name    TEXT    NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL CHECK (version > 0),
    body    TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- What may be used once, and what it was used for.
CREATE TABLE once (
    key            TEXT    NOT NULL PRIMARY KEY,
    bound_to       TEXT    NOT NULL,
    asked          TEXT    NOT NULL,
    request        BLOB    NOT NULL CHECK (length(request) = 16),
    remember_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX once_forgettable ON once (remember_until);

-- Names that one lease at a time may have.
CREATE TABLE claims (
    name  TEXT NOT NULL PRIMARY KEY,
    lease BLOB NOT NULL CHECK (length(lease) = 16)
) STRICT, WITHOUT ROWID;

-- Which hand drives a lane, and until when.
CREATE TABLE lanes (
    target TEXT    NOT NULL,
    lane   TEXT    NOT NULL,
    epoch  INTEGER NOT NULL CHECK (epoch > 0),
    hand   TEXT    NOT NULL,
    until  INTEGER NOT NULL,
    PRIMARY KEY (target, lane)
) STRICT, WITHOUT ROWID;

-- The audit log: the canonical bytes of each entry, the peaks of the tree over them, and the
-- checkpoints that were signed. `batch` counts the writer's commits: it tells whether a commit
-- whose outcome was not reported took place.
CREATE TABLE entries (
    idx   INTEGER PRIMARY KEY CHECK (idx >= 0),
    bytes BLOB NOT NULL
) STRICT;

CREATE TABLE log (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    batch    INTEGER NOT NULL,
    frontier BLOB    NOT NULL
) STRICT;

CREATE TABLE checkpoints (
    place INTEGER PRIMARY KEY,
    size  INTEGER NOT NULL CHECK (size >= 0),
    note  TEXT    NOT NULL,
    UNIQUE (size, note)
) STRICT;

-- How many open leases and holds each job, repository, tenant and lane has. Kept by the triggers
-- below and by nothing else, so that a budget costs one look-up however many leases are open.
CREATE TABLE shares (
    kind  TEXT    NOT NULL,
    name  TEXT    NOT NULL,
    count INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER share_is_empty AFTER UPDATE OF count ON shares WHEN NEW.count = 0 BEGIN
    DELETE FROM shares WHERE kind = NEW.kind AND name = NEW.name;
END;

CREATE TRIGGER lease_opens AFTER INSERT ON rows WHEN NEW.kind = 1 AND NEW.is_final = 0 BEGIN
    INSERT INTO shares VALUES ('job', NEW.job, 1), ('repository', NEW.repository, 1), ('tenant', NEW.tenant, 1)
        ON CONFLICT DO UPDATE SET count = count + 1;
    INSERT INTO shares SELECT 'lane', NEW.target || '/' || NEW.lane, 1 WHERE NEW.lane IS NOT NULL
        ON CONFLICT DO UPDATE SET count = count + 1;
END;

-- A write that changes what a lease counts against, most of all its end, takes the old from the
-- counts and adds the new.
CREATE TRIGGER lease_leaves AFTER UPDATE ON rows
WHEN OLD.kind = 1 AND OLD.is_final = 0
    AND (OLD.is_final, OLD.job, OLD.repository, OLD.tenant, OLD.target, OLD.lane)
        IS NOT (NEW.is_final, NEW.job, NEW.repository, NEW.tenant, NEW.target, NEW.lane)
BEGIN
    UPDATE shares SET count = count - 1 WHERE kind = 'job' AND name = OLD.job;
    UPDATE shares SET count = count - 1 WHERE kind = 'repository' AND name = OLD.repository;
    UPDATE shares SET count = count - 1 WHERE kind = 'tenant' AND name = OLD.tenant;
    UPDATE shares SET count = count - 1 WHERE kind = 'lane' AND name = OLD.target || '/' || OLD.lane;
END;

CREATE TRIGGER lease_comes AFTER UPDATE ON rows
WHEN NEW.kind = 1 AND NEW.is_final = 0
    AND (OLD.is_final, OLD.job, OLD.repository, OLD.tenant, OLD.target, OLD.lane)
        IS NOT (NEW.is_final, NEW.job, NEW.repository, NEW.tenant, NEW.target, NEW.lane)
BEGIN
    INSERT INTO shares VALUES ('job', NEW.job, 1), ('repository', NEW.repository, 1), ('tenant', NEW.tenant, 1)
        ON CONFLICT DO UPDATE SET count = count + 1;
    INSERT INTO shares SELECT 'lane', NEW.target || '/' || NEW.lane, 1 WHERE NEW.lane IS NOT NULL
        ON CONFLICT DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER hold_placed AFTER INSERT ON holds BEGIN
    INSERT INTO shares VALUES ('lane', NEW.target || '/' || NEW.lane, 1)
        ON CONFLICT DO UPDATE SET count = count + 1;
    INSERT INTO shares SELECT kind, name, 1
        FROM (SELECT 'job' AS kind, NEW.job AS name
              UNION ALL SELECT 'repository', NEW.repository
              UNION ALL SELECT 'tenant', NEW.tenant)
        WHERE name IS NOT NULL
        ON CONFLICT DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER hold_dropped AFTER DELETE ON holds BEGIN
    UPDATE shares SET count = count - 1 WHERE kind = 'lane' AND name = OLD.target || '/' || OLD.lane;
    UPDATE shares SET count = count - 1 WHERE kind = 'job' AND name = OLD.job;
    UPDATE shares SET count = count - 1 WHERE kind = 'repository' AND name = OLD.repository;
    UPDATE shares SET count = count - 1 WHERE kind = 'tenant' AND name = OLD.tenant;
END;
