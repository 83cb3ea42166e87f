//! A cloud that behaves: it mints sessions, enforces deny lists with a lag, forgets nothing, and
//! goes wrong exactly when it is told to.
//!
//! ```text
//! elevate, renew ─► CloudBooks: sessions          would_allow(credential)?
//! revoke ─────────► CloudBooks: a deny list per lane, its epoch ┘
//! ```
//!
//! In [`Style::Slots`] it gives rights to identities instead: a credential does what its identity
//! may do when it is used, whichever lease the right was given for.
//!
//! It is no adapter of a real cloud. Where laws are measured with it, it is the laws that are
//! judged. It is there so that core's
//! use cases and reconciler can be judged by what a cloud would still let somebody do. At every
//! mint it asks the ledger, past the broker, what is recorded at that moment: that is how the
//! first promise is checked.

mod adapter;
mod books;
mod inquiry;
mod mishap;
mod slot_adapter;
mod slots;

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jitney_core::evidence::Held;
use jitney_core::id::CloudName;
use jitney_core::ledger::Ledger;
use jitney_core::plan::LaneId;
use jitney_core::probe::Probed;
use jitney_core::time::{Clock, Timestamp};

pub use books::{CloudBooks, Session};
pub use mishap::{MintMishap, RevokeMishap};
pub use slot_adapter::SlotVice;
use slot_adapter::Slots;
pub use slots::{FLOOR, Given, SLOT_LAG, SLOT_SETTLE, TOKEN_LIFE, UNSEEN};

/// How long a session lives.
pub const SESSION_LIFE: Duration = Duration::from_secs(900);
/// How long after our own deadline a call may still land.
pub const LANDS_WITHIN: Duration = Duration::from_secs(300);
/// How long the adapter waits after reading a deny back before it calls it settled.
pub const SETTLE: Duration = Duration::from_secs(4);
/// How long a deny that is written does nothing yet. Shorter than [`SETTLE`], or the settle time
/// would have been measured wrongly.
pub const LAG: Duration = Duration::from_secs(2);
/// How many leases and holds a lane has room for, unless told otherwise.
pub const LANE_CAPACITY: u32 = 32;

/// How the cloud takes back what it gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A deny entry on the handle, which also stops what lands later.
    Denies,
    /// Deleting the grant, which does nothing about one that lands later.
    Deletes,
    /// Taking a right from an identity, whose credentials stay alive.
    Slots,
}

/// How many slots a target has, unless told otherwise.
pub const POOL: u32 = 3;

/// The fake cloud of one target.
pub struct FakeCloud {
    name: CloudName,
    style: Style,
    clock: Arc<dyn Clock>,
    /// What the judge reads, past everything the broker's own ledger may be wrapped in.
    ledger: Arc<dyn Ledger>,
    state: Mutex<State>,
}

struct State {
    books: CloudBooks,
    mints: Vec<MintMishap>,
    revokes: Vec<RevokeMishap>,
    revoking_is_down: bool,
    looking_is_down: bool,
    lane_capacity: u32,
    slots: Slots,
    mint_calls: u32,
    revoke_calls: u32,
    probe_says: Option<Probed>,
    /// Visits that stand.
    visits: u32,
    visits_outlive: bool,
    /// What inquiries were shown, in order.
    moments: Vec<&'static str>,
}

impl State {
    fn allows(&self, style: Style, session: &Session, now: Timestamp) -> bool {
        let gives = || self.slots.books.in_force(&session.lane, now).count() > 0;
        self.books.allows(&session.credential, now) && (style != Style::Slots || gives())
    }
}

impl FakeCloud {
    /// An empty cloud. `ledger` is asked at each mint what is recorded of it.
    #[must_use]
    pub fn new(
        name: CloudName,
        style: Style,
        clock: Arc<dyn Clock>,
        ledger: Arc<dyn Ledger>,
    ) -> Self {
        let state = State {
            books: CloudBooks::default(),
            mints: Vec::new(),
            revokes: Vec::new(),
            revoking_is_down: false,
            looking_is_down: false,
            lane_capacity: LANE_CAPACITY,
            slots: Slots::pool_of(POOL),
            mint_calls: 0,
            revoke_calls: 0,
            probe_says: None,
            visits: 0,
            visits_outlive: false,
            moments: Vec::new(),
        };
        Self {
            name,
            style,
            clock,
            ledger,
            state: Mutex::new(state),
        }
    }

    /// Whether the cloud would let somebody with this credential do something now.
    #[must_use]
    pub fn would_allow(&self, credential: &str) -> bool {
        let is_it = |session: &Session| session.credential == credential;
        self.working().iter().any(is_it)
    }

    /// Whether the cloud would let somebody with this credential do something to a resource now.
    /// Only where rights are given to identities does it know of resources.
    #[must_use]
    pub fn would_allow_on(&self, credential: &str, resource: &str) -> bool {
        let works = self.working().into_iter();
        let mut works = works.filter(|session| session.credential == credential);
        let (state, now) = (self.lock(), self.clock.now());
        works.any(|session| {
            let mut rights = state.slots.books.in_force(&session.lane, now);
            rights.any(|right| right.resource == resource)
        })
    }

    /// The rights that a session's identity has because of other leases.
    #[must_use]
    pub fn rights_of_others(&self, session: &Session) -> Vec<Given> {
        let state = self.lock();
        state.slots.books.of_others(session, self.clock.now())
    }

    /// The rights that a listing of the cloud shows.
    #[must_use]
    pub fn given(&self) -> Vec<Given> {
        let state = self.lock();
        state
            .slots
            .books
            .listed(self.clock.now())
            .cloned()
            .collect()
    }

    /// Every session it ever made, also those that have yet to land.
    #[must_use]
    pub fn sessions(&self) -> Vec<Session> {
        self.lock().books.sessions().to_vec()
    }

    /// The sessions that work now.
    #[must_use]
    pub fn working(&self) -> Vec<Session> {
        let now = self.clock.now();
        let state = self.lock();
        let works = |session: &&Session| state.allows(self.style, session, now);
        state
            .books
            .sessions()
            .iter()
            .filter(works)
            .cloned()
            .collect()
    }

    /// What a lane's deny list names.
    #[must_use]
    pub fn denied(&self, lane: &LaneId) -> Vec<Held> {
        self.lock().books.denied(lane)
    }

    /// Whether nothing of ours is left in the cloud: no lane denies anything, and no slot has a
    /// right.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.given().is_empty() && self.lock().books.denies_nothing()
    }

    /// How often it was asked to mint.
    #[must_use]
    pub fn mint_calls(&self) -> u32 {
        self.lock().mint_calls
    }

    /// How often it was asked to revoke.
    #[must_use]
    pub fn revoke_calls(&self) -> u32 {
        self.lock().revoke_calls
    }

    /// The next call that gives goes wrong like this. Several are used up in turn.
    pub fn next_mint(&self, mishap: MintMishap) {
        self.lock().mints.push(mishap);
    }

    /// The next call that takes back goes wrong like this. Several are used up in turn.
    pub fn next_revoke(&self, mishap: RevokeMishap) {
        self.lock().revokes.push(mishap);
    }

    /// While it is down, nothing can be taken back.
    pub fn set_revoking_down(&self, down: bool) {
        self.lock().revoking_is_down = down;
    }

    /// While it is down, the cloud cannot be looked through.
    pub fn set_looking_down(&self, down: bool) {
        self.lock().looking_is_down = down;
    }

    /// How many leases and holds plans say that a lane has room for.
    pub fn set_lane_capacity(&self, leases: u32) {
        self.lock().lane_capacity = leases;
    }

    /// A stranger, who knows nothing of us, empties a deny list.
    pub fn stranger_empties(&self, lane: &LaneId) {
        self.lock().books.empty(lane);
    }

    /// What probes are answered from now on, whatever is so; nothing for the truth.
    pub fn set_probe(&self, says: Option<Probed>) {
        self.lock().probe_says = says;
    }

    /// Whether a visit goes on once its credential has ended.
    pub fn set_visits_outlive(&self, outlive: bool) {
        self.lock().visits_outlive = outlive;
    }

    /// How many visits stand that an inquiry began.
    #[must_use]
    pub fn visits(&self) -> u32 {
        self.lock().visits
    }

    /// What inquiries were shown, in order.
    #[must_use]
    pub fn moments(&self) -> Vec<&'static str> {
        self.lock().moments.clone()
    }

    /// How many slots there are to choose from.
    pub fn set_pool(&self, slots: u32) {
        self.lock().slots.pool = slots;
    }

    /// How long a right cannot be taken away after it was given.
    pub fn set_floor(&self, floor: Duration) {
        self.lock().slots.books.floor = floor;
    }

    /// Gives the adapter a vice.
    pub fn set_vice(&self, vice: SlotVice) {
        self.lock().slots.vice = Some(vice);
    }

    /// A stranger gives a slot back what was last taken from it.
    pub fn stranger_gives_back(&self, slot: &LaneId) {
        let now = self.clock.now();
        self.lock().slots.books.give_back(slot, now);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
