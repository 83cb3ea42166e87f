//! The operator's configuration: one TOML file, and the environment over it
//! (`JITNEY__BROKER__LISTEN`). Typed; a key that nobody knows stops the start, because a misspelt
//! limit that is passed over is a limit that is not there.

mod complaint;
mod issuer;
mod read;
mod sections;
mod surroundings;

pub use issuer::IssuerSection;
pub use read::read;
pub use sections::{CloudTarget, Configuration, KeysSection, LedgerSection, TlsSection};
pub use surroundings::{AlarmsSection, WebhookSection, WebhooksSection};

#[cfg(test)]
mod tests;
