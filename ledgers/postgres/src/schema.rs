//! The tables, and how an older schema comes to have them. Steps go forward only; each is applied
//! once, in one transaction with its number.
//!
//! While brokers are replaced one after the other, one that is older goes on working on what a
//! newer one has migrated. So a step leaves everything that the version before it reads and writes;
//! what is no longer needed goes with the step after.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

/// The steps, oldest first. A step that was released is never changed; another one is added.
pub(crate) const STEPS: &[&str] = &[include_str!("../migrations/0001_ledger.sql")];

/// What a schema turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Up to date now.
    Ready,
    /// Written by a later version of this program.
    Newer {
        /// The number of its last step.
        seen: usize,
    },
    /// Not there, or older: the next start of a broker makes it what we know. Only who looks and
    /// changes nothing finds it so.
    ToBeMade,
    /// Of another program.
    Foreign,
}

/// Two brokers that start at the same time migrate one after the other.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('jitney ' || $1, 0))";
const EXISTS: &str = "SELECT to_regnamespace($1) IS NOT NULL";
/// Everything in a schema, but not what is temporary or of the system.
const THINGS: &str = "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace($1)";
const OURS: &str = "SELECT to_regclass($1 || '.jitney_schema') IS NOT NULL";
const MAKE: &str = "CREATE TABLE jitney_schema (
    one  boolean NOT NULL PRIMARY KEY CHECK (one),
    step integer NOT NULL CHECK (step >= 0)
); INSERT INTO jitney_schema VALUES (true, 0)";
const STEP: &str = "SELECT step FROM jitney_schema";
const STEPPED: &str = "UPDATE jitney_schema SET step = $1";

/// Brings a schema to the last of `steps`, and makes it if it is not there. One that is not ours,
/// or newer than we are, is left as it was found.
pub(crate) async fn migrate(
    connection: &mut PgConnection,
    schema: &str,
    steps: &[&'static str],
) -> Result<Found, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let lock = sqlx::query(LOCK).bind(schema);
    lock.execute(&mut *transaction).await?;
    if !ask::<bool>(&mut transaction, EXISTS, schema).await? {
        // The name was checked: nothing in it has to be quoted.
        let make = AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
        sqlx::raw_sql(make).execute(&mut *transaction).await?;
    }
    if !ask::<bool>(&mut transaction, OURS, schema).await? {
        if ask::<i64>(&mut transaction, THINGS, schema).await? > 0 {
            return Ok(Found::Foreign);
        }
        sqlx::raw_sql(MAKE).execute(&mut *transaction).await?;
    }
    let Ok(last) = usize::try_from(step(&mut transaction).await?) else {
        return Ok(Found::Foreign);
    };
    if last > steps.len() {
        return Ok(Found::Newer { seen: last });
    }
    for (step, number) in steps.iter().zip(1_i32..).skip(last) {
        sqlx::raw_sql(*step).execute(&mut *transaction).await?;
        let stepped = sqlx::query(STEPPED).bind(number);
        stepped.execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(Found::Ready)
}

/// What a schema is to somebody who only reads it. One that is older than `steps` is not brought
/// up to date by looking, and is not read either.
pub(crate) async fn recognise(
    connection: &mut PgConnection,
    schema: &str,
    steps: &[&str],
) -> Result<Found, sqlx::Error> {
    if !ask::<bool>(connection, OURS, schema).await? {
        let is_empty = ask::<i64>(connection, THINGS, schema).await? == 0;
        return Ok(if is_empty {
            Found::ToBeMade
        } else {
            Found::Foreign
        });
    }
    Ok(match usize::try_from(step(connection).await?) {
        Ok(last) if last == steps.len() => Found::Ready,
        Ok(seen) if seen > steps.len() => Found::Newer { seen },
        Ok(_) => Found::ToBeMade,
        Err(_) => Found::Foreign,
    })
}

async fn ask<T>(
    connection: &mut PgConnection,
    question: &'static str,
    schema: &str,
) -> Result<T, sqlx::Error>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let answer = sqlx::query(question).bind(schema);
    answer.fetch_one(connection).await?.try_get(0)
}

async fn step(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::query(STEP).fetch_one(connection).await?.try_get(0)
}
