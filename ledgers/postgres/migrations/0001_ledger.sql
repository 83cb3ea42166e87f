-- Times are microseconds since 1970, UTC.
--
-- Text is compared byte by byte (`COLLATE "C"`): what a locale takes for equal is not equal here,
-- and an index by a locale's order breaks when the operating system's locales are renewed. NUL,
-- which PostgreSQL cannot hold, is written as the byte 1 and `0`, the byte 1 as itself and `1`.
--
-- Whoever writes locks the one row of `log` first. So brokers write one after the other, and what
-- one reads under that lock stays true until it commits. The keys and checks below hold all the
-- same, should somebody write past the lock.

-- Requests (kind 0) and leases (kind 1). `body` is the state; the columns are there to find it by.
CREATE TABLE rows (
    kind       smallint         NOT NULL CHECK (kind IN (0, 1)),
    id         uuid             NOT NULL,
    version    bigint           NOT NULL CHECK (version > 0),
    state      text COLLATE "C" NOT NULL,
    is_final   boolean          NOT NULL,
    request    uuid             NOT NULL,
    target     text COLLATE "C",
    lane       text COLLATE "C",
    job        text COLLATE "C" NOT NULL,
    repository text COLLATE "C" NOT NULL,
    tenant     text COLLATE "C" NOT NULL,
    due_at     bigint,
    body       text COLLATE "C" NOT NULL,
    PRIMARY KEY (kind, id),
    CHECK ((target IS NULL) = (lane IS NULL))
);

CREATE INDEX lease_due     ON rows (due_at, target, lane) WHERE kind = 1 AND NOT is_final AND due_at IS NOT NULL;
CREATE INDEX request_due   ON rows (due_at)               WHERE kind = 0 AND NOT is_final AND due_at IS NOT NULL;
CREATE INDEX lease_lane    ON rows (target, lane, state, due_at) WHERE kind = 1 AND NOT is_final;
CREATE INDEX lease_open    ON rows (id)      WHERE kind = 1 AND NOT is_final;
CREATE INDEX lease_state   ON rows (state, id) WHERE kind = 1 AND NOT is_final;
CREATE INDEX lease_job     ON rows (job, id) WHERE kind = 1;
CREATE INDEX lease_request ON rows (request, id) WHERE kind = 1;

-- What must stay in force after its lease ended. The owner is its lease's, kept so that a budget
-- can count it.
CREATE TABLE holds (
    target     text COLLATE "C" NOT NULL,
    lane       text COLLATE "C" NOT NULL,
    held       text COLLATE "C" NOT NULL,
    lease      uuid,
    until      bigint           NOT NULL,
    issued_by  bigint,
    job        text COLLATE "C",
    repository text COLLATE "C",
    tenant     text COLLATE "C",
    PRIMARY KEY (target, lane, held),
    CHECK ((job IS NULL) = (repository IS NULL) AND (job IS NULL) = (tenant IS NULL))
);

CREATE INDEX hold_due ON holds (until, target, lane);

-- What may be used once, and what it was used for.
CREATE TABLE once (
    key            text COLLATE "C" NOT NULL PRIMARY KEY,
    bound_to       text COLLATE "C" NOT NULL,
    asked          text COLLATE "C" NOT NULL,
    request        uuid             NOT NULL,
    remember_until bigint           NOT NULL
);

CREATE INDEX once_forgettable ON once (remember_until);

-- Names that one lease at a time may have.
CREATE TABLE claims (
    name  text COLLATE "C" NOT NULL PRIMARY KEY,
    lease uuid             NOT NULL
);

-- Which hand drives a lane, through which broker's ledger, and until when by the clock of this
-- server. A lane whose epoch was raised has no hand until somebody claims it.
CREATE TABLE lanes (
    target text COLLATE "C" NOT NULL,
    lane   text COLLATE "C" NOT NULL,
    epoch  bigint           NOT NULL CHECK (epoch >= 0),
    hand   text COLLATE "C",
    broker uuid,
    until  bigint           NOT NULL,
    PRIMARY KEY (target, lane)
);

-- When a lane must be looked at although nothing in it is due.
CREATE TABLE looks (
    target text COLLATE "C" NOT NULL,
    lane   text COLLATE "C" NOT NULL,
    at     bigint           NOT NULL,
    PRIMARY KEY (target, lane)
);

CREATE INDEX look_due ON looks (at, target, lane);

-- What holds for the whole installation, under a name.
CREATE TABLE sheets (
    name    text COLLATE "C" NOT NULL PRIMARY KEY,
    version bigint           NOT NULL CHECK (version > 0),
    body    text COLLATE "C" NOT NULL
);

-- The audit log: the canonical bytes of each entry, the peaks of the tree over them, and the
-- checkpoints that were signed.
CREATE TABLE entries (
    idx   bigint NOT NULL PRIMARY KEY CHECK (idx >= 0),
    bytes bytea  NOT NULL
);

CREATE TABLE log (
    one      boolean NOT NULL PRIMARY KEY CHECK (one),
    frontier bytea   NOT NULL
) WITH (fillfactor = 20);

CREATE TABLE checkpoints (
    place bigint           NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    size  bigint           NOT NULL CHECK (size >= 0),
    note  text COLLATE "C" NOT NULL
);

-- Not with the note, which may be longer than what an index holds of a column.
CREATE INDEX checkpoint_size ON checkpoints (size);

-- How many commits each broker made. It tells whether a commit whose answer was lost took place.
CREATE TABLE writers (
    broker  uuid   NOT NULL PRIMARY KEY,
    batch   bigint NOT NULL CHECK (batch >= 0),
    seen_at bigint NOT NULL
) WITH (fillfactor = 50);

-- How many open leases and holds each job, repository, tenant and lane has, so that a budget costs
-- one look-up however many leases are open. Nothing that has none has a row.
CREATE TABLE shares (
    kind  text COLLATE "C" NOT NULL,
    name  text COLLATE "C" NOT NULL,
    count bigint           NOT NULL CHECK (count >= 0),
    PRIMARY KEY (kind, name)
);
