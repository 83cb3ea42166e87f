//! Unlawful edges do not compile.
//!
//! Each pair below differs in one thing. The first compiles; if it ever stops compiling, the second
//! would fail for the wrong reason, so both are tests.

/// A step is no permission: only what the books recorded may be sent to a cloud.
///
/// ```
/// # use jitney_core::{adapter::Elevate, books::{Recorded, Step}, lease::Elevating};
/// async fn call(cloud: &dyn Elevate, intent: Recorded<Elevating>) {
///     let _ = cloud.elevate(&intent).await;
/// }
/// ```
///
/// ```compile_fail
/// # use jitney_core::{adapter::Elevate, books::{Recorded, Step}, lease::Elevating};
/// async fn call(cloud: &dyn Elevate, intent: Step<Elevating>) {
///     let _ = cloud.elevate(&intent).await;
/// }
/// ```
pub struct Case1;

/// An intent found in the ledger may have been sent already: it cannot be sent again.
///
/// ```
/// # use jitney_core::{adapter::Elevate, books::Recorded, lease::{Doubtful, Elevating}};
/// async fn call(cloud: &dyn Elevate, intent: Recorded<Elevating>) {
///     let _ = cloud.elevate(&intent).await;
/// }
/// ```
///
/// ```compile_fail
/// # use jitney_core::{adapter::Elevate, books::Recorded, lease::{Doubtful, Elevating}};
/// async fn call(cloud: &dyn Elevate, intent: Recorded<Doubtful>) {
///     let _ = cloud.elevate(&intent).await;
/// }
/// ```
pub struct Case2;

/// What was found can only be doubted.
///
/// ```
/// # use jitney_core::{books::Recorded, credential::Elevation, lease::Doubtful, time::Timestamp};
/// fn go_on(found: Recorded<Doubtful>, made: &Elevation, now: Timestamp) {
///     let _ = found.doubted(now);
/// }
/// ```
///
/// ```compile_fail
/// # use jitney_core::{books::Recorded, credential::Elevation, lease::Doubtful, time::Timestamp};
/// fn go_on(found: Recorded<Doubtful>, made: &Elevation, now: Timestamp) {
///     let _ = found.granted(made, now);
/// }
/// ```
pub struct Case3;

/// An edge consumes its state: nothing is granted twice.
///
/// ```
/// # use jitney_core::{books::Recorded, credential::Elevation, lease::Elevating, time::Timestamp};
/// fn answer(intent: Recorded<Elevating>, made: &Elevation, now: Timestamp) {
///     let _ = intent.granted(made, now);
/// }
/// ```
///
/// ```compile_fail
/// # use jitney_core::{books::Recorded, credential::Elevation, lease::Elevating, time::Timestamp};
/// fn answer(intent: Recorded<Elevating>, made: &Elevation, now: Timestamp) {
///     let _ = intent.granted(made, now);
///     let _ = intent.granted(made, now);
/// }
/// ```
pub struct Case4;

/// An active lease is not renewed once it is ending.
///
/// ```
/// # use jitney_core::{books::Recorded, lease::{Active, Life, Revoking}, time::Timestamp};
/// fn renew(lease: Recorded<Active>, now: Timestamp) {
///     let _ = lease.renewing(now, Life::Proved, now);
/// }
/// ```
///
/// ```compile_fail
/// # use jitney_core::{books::Recorded, lease::{Active, Life, Revoking}, time::Timestamp};
/// fn renew(lease: Recorded<Revoking>, now: Timestamp) {
///     let _ = lease.renewing(now, Life::Proved, now);
/// }
/// ```
pub struct Case5;

/// A lease ends by what was found, never by being declared over.
///
/// ```
/// # use jitney_core::{books::Recorded, evidence::Revocation, lease::Revoking, time::Timestamp};
/// fn end(lease: Recorded<Revoking>, found: Revocation, now: Timestamp) {
///     let _ = lease.looked(found, now);
/// }
/// ```
///
/// ```compile_fail
/// # use jitney_core::{books::Recorded, evidence::Revocation, lease::Revoking, time::Timestamp};
/// fn end(lease: Recorded<Revoking>, found: Revocation, now: Timestamp) {
///     let _ = lease.over(found, None, now);
/// }
/// ```
pub struct Case6;

/// An ambiguous fault proves nothing: it cannot end a lease.
///
/// ```
/// # use jitney_core::{books::Recorded, fault::Fault, lease::Elevating, time::Timestamp};
/// fn give_up(intent: Recorded<Elevating>, fault: Fault, now: Timestamp) {
///     if let Ok(proof) = fault.nothing_happened() {
///         let _ = intent.never_granted(&proof, now);
///     }
/// }
/// ```
///
/// ```compile_fail
/// # use jitney_core::{books::Recorded, fault::Fault, lease::Elevating, time::Timestamp};
/// fn give_up(intent: Recorded<Elevating>, fault: Fault, now: Timestamp) {
///     let proof = fault;
///     {
///         let _ = intent.never_granted(&proof, now);
///     }
/// }
/// ```
pub struct Case7;

/// Nobody but the books makes a `Recorded`.
///
/// ```
/// # use jitney_core::{books::{Books, Recorded, Step}, lease::Active};
/// async fn record(books: &Books, step: Step<Active>) -> Option<Recorded<Active>> {
///     books.record(step).await.ok()
/// }
/// ```
///
/// ```compile_fail
/// # use jitney_core::{books::{Books, Recorded, Step}, lease::Active};
/// async fn record(books: &Books, step: Step<Active>) -> Option<Recorded<Active>> {
///     Some(Recorded { state: step.next().clone(), version: 1 })
/// }
/// ```
pub struct Case8;

/// A request is not granted before it was recorded.
///
/// ```
/// # use jitney_core::{books::{Recorded, Step}, request::Granting};
/// fn grant(request: Recorded<Granting>) {
///     let _ = request.granted();
/// }
/// ```
///
/// ```compile_fail
/// # use jitney_core::{books::{Recorded, Step}, request::Granting};
/// fn grant(request: Step<Granting>) {
///     let _ = request.granted();
/// }
/// ```
pub struct Case9;

/// A credential is not cloned.
///
/// ```
/// # use jitney_core::credential::Credential;
/// fn keep(credential: Credential) -> Credential {
///     credential
/// }
/// ```
///
/// ```compile_fail
/// # use jitney_core::credential::Credential;
/// fn keep(credential: &Credential) -> Credential {
///     credential.clone()
/// }
/// ```
pub struct Case10;

/// A credential is not printed.
///
/// ```
/// # use jitney_core::credential::Credential;
/// fn print(credential: &Credential) -> String {
///     format!("{}", credential.kind())
/// }
/// ```
///
/// ```compile_fail
/// # use jitney_core::credential::Credential;
/// fn print(credential: &Credential) -> String {
///     format!("{}", credential)
/// }
/// ```
pub struct Case11;

/// A credential is not serialised.
///
/// ```
/// # use jitney_core::credential::Credential;
/// fn store(credential: &Credential) -> Option<String> {
///     serde_json::to_string(credential.kind()).ok()
/// }
/// ```
///
/// ```compile_fail
/// # use jitney_core::credential::Credential;
/// fn store(credential: &Credential) -> Option<String> {
///     serde_json::to_string(credential).ok()
/// }
/// ```
pub struct Case12;
