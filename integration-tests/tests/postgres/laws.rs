//! The laws of a ledger.

use std::sync::Arc;

use async_trait::async_trait;
use jitney_core::ledger::Ledger;
use jitney_integration_tests::ledger_laws::{Broken, LAWS, Store, Stores, judge};
use jitney_integration_tests::postgres::Server;
use jitney_ledger_postgres::{ClaimClock, PostgresLedger, PostgresOptions};

struct InSchemas(&'static Server);

struct InSchema(PostgresOptions);

#[async_trait]
impl Store for InSchema {
    async fn open(&self) -> Result<Arc<dyn Ledger>, Broken> {
        let opened = PostgresLedger::open(&self.0).await;
        let ledger = opened.map_err(|error| Broken::because(error.to_string()))?;
        Ok(Arc::new(ledger))
    }
}

#[async_trait]
impl Stores for InSchemas {
    async fn empty(&self) -> Result<Box<dyn Store>, Broken> {
        let options = self.0.fresh();
        let mut options = options.map_err(|error| Broken::because(error.to_string()))?;
        // The laws' time is made up.
        options.claims_by = ClaimClock::Caller;
        Ok(Box::new(InSchema(options)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_keeps_every_law() {
    let server = Server::shared_or_said("the laws on PostgreSQL")
        .await
        .unwrap();
    let Some(server) = server else { return };
    let broken = judge(&InSchemas(server), LAWS).await;
    assert!(broken.is_empty(), "{broken:#?}");
}
