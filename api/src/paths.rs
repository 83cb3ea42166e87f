//! Where things are: each path once, as the broker's router and the client spell it.

/// `POST`: a request.
pub const REQUESTS: &str = "/v1/requests";
/// `GET`: a request, by its id; waits for a change of state when asked to.
pub const REQUEST: &str = "/v1/requests/{id}";
/// `POST`: gives all leases of a request back.
pub const REQUEST_RELEASE: &str = "/v1/requests/{id}/release";
/// `GET`: a lease.
pub const LEASE: &str = "/v1/leases/{id}";
/// `POST`: a sign of life.
pub const LEASE_HEARTBEAT: &str = "/v1/leases/{id}/heartbeat";
/// `POST`: prolongs a lease and mints again.
pub const LEASE_RENEW: &str = "/v1/leases/{id}/renew";
/// `POST`: shows a lease's credential to its cloud, to learn whether it is accepted.
pub const LEASE_PROBE: &str = "/v1/leases/{id}/probe";
/// `POST`: gives a lease back.
pub const LEASE_RELEASE: &str = "/v1/leases/{id}/release";
/// `POST`: GitHub says that a job is over.
pub const WEBHOOK_GITHUB: &str = "/v1/webhooks/github";
/// `POST`: GitLab says that a job is over.
pub const WEBHOOK_GITLAB: &str = "/v1/webhooks/gitlab";
/// `GET`: what the broker says of itself as an issuer of tokens. Fixed by OpenID Connect Discovery.
pub const ISSUER_DISCOVERY: &str = "/.well-known/openid-configuration";
/// `GET`: the keys with which its tokens are verified.
pub const ISSUER_KEY_SET: &str = "/.well-known/jwks.json";
/// `GET`: what the broker counts, as Prometheus reads it.
pub const METRICS: &str = "/metrics";
/// `GET`: whether the process answers.
pub const HEALTH: &str = "/healthz";
/// `GET`: whether it would grant: the ledger can be written, a policy is active.
pub const READY: &str = "/readyz";

/// The paths of the socket for operators.
pub mod admin {
    /// `GET`: how the broker and its leases are.
    pub const STATUS: &str = "/v1/status";
    /// `POST`: gives a kill order. `GET`: all of them.
    pub const ORDERS: &str = "/v1/orders";
    /// `GET`: a kill order and how far it is.
    pub const ORDER: &str = "/v1/orders/{id}";
    /// `POST`: recovers from a ledger that went back in time.
    pub const RECOVER: &str = "/v1/recover";
    /// `POST`: looks through a target for what belongs to nothing.
    pub const SWEEPS: &str = "/v1/sweeps";
    /// `POST`: begins a rehearsal.
    pub const REHEARSALS: &str = "/v1/rehearsals";
    /// `GET`: a rehearsal and what it has shown. Whoever rehearses asks again and again: without
    /// that the lease falls silent.
    pub const REHEARSAL: &str = "/v1/rehearsals/{id}";
    /// `POST`: ends a rehearsal and its lease.
    pub const REHEARSAL_STOP: &str = "/v1/rehearsals/{id}/stop";
    /// `POST`: declares a lease over without evidence.
    pub const WRITE_OFF: &str = "/v1/leases/{id}/write-off";
}

/// One of the paths above with its id filled in. Ids are lower-case letters, digits and `_`;
/// anything else would change the path, so it gives nothing.
#[must_use]
pub fn with_id(path: &str, id: &str) -> Option<String> {
    let plain = !id.is_empty()
        && id
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    plain.then(|| path.replace("{id}", id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_change_the_path() {
        assert_eq!(
            with_id(LEASE_RENEW, "lease_0a").as_deref(),
            Some("/v1/leases/lease_0a/renew")
        );
        for hostile in ["", "a/b", "..", "a?b", "a#b", "%2e", "A", "ä", "{id}"] {
            assert_eq!(with_id(LEASE, hostile), None, "{hostile}");
        }
    }
}
