//! What is written, as it is put to the server. Many rows at a time, as arrays: the number of
//! statements does not hang on how many callers share a batch.

pub(crate) const ROWS_FIRST: &str = "
    INSERT INTO rows (kind, id, version, state, is_final, request, target, lane, job,
                      repository, tenant, due_at, body)
    SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::text[], $5::boolean[],
                         $6::uuid[], $7::text[], $8::text[], $9::text[], $10::text[],
                         $11::text[], $12::bigint[], $13::text[])";
pub(crate) const ROWS_NEXT: &str = "
    UPDATE rows SET version = new.version, state = new.state, is_final = new.is_final,
                    request = new.request, target = new.target, lane = new.lane,
                    job = new.job, repository = new.repository, tenant = new.tenant,
                    due_at = new.due_at, body = new.body
    FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::text[], $5::boolean[],
                $6::uuid[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
                $12::bigint[], $13::text[], $14::bigint[])
        AS new (kind, id, version, state, is_final, request, target, lane, job, repository,
                tenant, due_at, body, over)
    WHERE rows.kind = new.kind AND rows.id = new.id AND rows.version = new.over";
pub(crate) const ONCE: &str = "
    INSERT INTO once (key, bound_to, asked, request, remember_until)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::bigint[])";
/// Brokers that forget at the same time do not wait for each other's.
pub(crate) const FORGET: &str = "
    DELETE FROM once WHERE key IN (
        SELECT key FROM once WHERE remember_until < $1
        ORDER BY remember_until LIMIT $2 FOR UPDATE SKIP LOCKED)";
pub(crate) const CLAIMS_GONE: &str = "
    DELETE FROM claims USING unnest($1::text[], $2::uuid[]) AS old (name, lease)
    WHERE claims.name = old.name AND claims.lease = old.lease";
pub(crate) const CLAIMS: &str =
    "INSERT INTO claims (name, lease) SELECT * FROM unnest($1::text[], $2::uuid[])";
pub(crate) const HOLDS_GONE: &str = "
    DELETE FROM holds
    USING unnest($1::text[], $2::text[], $3::text[]) AS old (target, lane, held)
    WHERE holds.target = old.target AND holds.lane = old.lane AND holds.held = old.held";
/// All of it: one that was dropped and placed anew in one batch may be another lease's.
pub(crate) const HOLDS: &str = "
    INSERT INTO holds (target, lane, held, lease, until, issued_by, job, repository, tenant)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::bigint[],
                         $6::bigint[], $7::text[], $8::text[], $9::text[])
    ON CONFLICT (target, lane, held)
    DO UPDATE SET lease = excluded.lease, until = excluded.until,
                  issued_by = excluded.issued_by, job = excluded.job,
                  repository = excluded.repository, tenant = excluded.tenant";
pub(crate) const LANES: &str = "
    INSERT INTO lanes (target, lane, epoch, hand, broker, until)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::uuid[],
                         $6::bigint[])
    ON CONFLICT (target, lane)
    DO UPDATE SET epoch = excluded.epoch, hand = excluded.hand, broker = excluded.broker,
                  until = excluded.until
    WHERE lanes.epoch <= excluded.epoch";
pub(crate) const LOOKS_GONE: &str = "
    DELETE FROM looks USING unnest($1::text[], $2::text[]) AS old (target, lane)
    WHERE looks.target = old.target AND looks.lane = old.lane";
pub(crate) const LOOKS: &str = "
    INSERT INTO looks (target, lane, at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
    ON CONFLICT (target, lane) DO UPDATE SET at = excluded.at";
pub(crate) const SHEETS_FIRST: &str = "
    INSERT INTO sheets (name, version, body)
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[])";
pub(crate) const SHEETS_NEXT: &str = "
    UPDATE sheets SET version = new.version, body = new.body
    FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[])
        AS new (name, version, body, over)
    WHERE sheets.name = new.name AND sheets.version = new.over";
pub(crate) const SHARES_GROWN: &str = "
    INSERT INTO shares (kind, name, count)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
    ON CONFLICT (kind, name) DO UPDATE SET count = shares.count + excluded.count";
pub(crate) const SHARES_SHRUNK: &str = "
    UPDATE shares SET count = shares.count + old.count
    FROM unnest($1::text[], $2::text[], $3::bigint[]) AS old (kind, name, count)
    WHERE shares.kind = old.kind AND shares.name = old.name";
pub(crate) const SHARES_GONE: &str = "
    DELETE FROM shares USING unnest($1::text[], $2::text[]) AS old (kind, name)
    WHERE shares.kind = old.kind AND shares.name = old.name AND shares.count = 0";
pub(crate) const ENTRIES: &str =
    "INSERT INTO entries (idx, bytes) SELECT * FROM unnest($1::bigint[], $2::bytea[])";
pub(crate) const FRONTIER: &str = "UPDATE log SET frontier = $1";
pub(crate) const CHECKPOINTS: &str = "
    INSERT INTO checkpoints (size, note)
    SELECT size, note FROM unnest($1::bigint[], $2::text[])
        WITH ORDINALITY AS new (size, note, place)
    WHERE NOT EXISTS (
        SELECT 1 FROM checkpoints AS old WHERE old.size = new.size AND old.note = new.note)
    ORDER BY place";
