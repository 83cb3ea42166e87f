//! The books: the ledger's typed face, and the only maker of [`Recorded`].
//!
//! A [`Step`] is a lawful edge that has been taken but not written down: the next state, and what
//! the audit log says of it. Committing it gives a `Recorded` of that state. Whoever holds one
//! knows that the ledger does too; that is what makes it a permission to call the cloud.

use core::ops::Deref;
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::adapter::Mark;
use crate::audit::Entry;
use crate::evidence::Hold;
use crate::id::{LeaseId, RequestId};
use crate::lease::{Active, Doubtful, Elevating, Ended, Lease, Revoking};
use crate::ledger::{CannotRead, CommitError, Ledger, Row, RowId, Sheet, SheetAt, Transaction};
use crate::plan::LaneId;
use crate::request::{Closed, Granted, Granting, Pending, Request};
use crate::standing::{self, Standing};
use crate::time::Timestamp;

/// A state that the ledger holds, in the version it holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Recorded<S> {
    state: S,
    version: u64,
    mark: Mark,
}

impl<S> Recorded<S> {
    /// How far the ledger had come at least when it held this: what a stamp says of it.
    #[must_use]
    pub const fn mark(&self) -> Mark {
        self.mark
    }
}

impl<S> Deref for Recorded<S> {
    type Target = S;
    fn deref(&self) -> &S {
        &self.state
    }
}

impl<S> Recorded<S> {
    /// Takes an edge that the audit log tells of.
    pub(crate) fn step<T>(self, entry: Entry, next: impl FnOnce(S) -> T) -> Step<T> {
        let step = self.quiet_step(next);
        Step {
            entries: vec![entry],
            ..step
        }
    }

    /// Takes an edge that changes nothing an auditor asks about: a sign of life, another look.
    pub(crate) fn quiet_step<T>(self, next: impl FnOnce(S) -> T) -> Step<T> {
        let version = self.version.saturating_add(1);
        Step {
            next: next(self.state),
            version,
            entries: Vec::new(),
            hold: None,
        }
    }
}

#[cfg(test)]
impl<S> Step<S> {
    /// What committing would give, for tests of edges.
    pub(crate) fn committed_in_test(self) -> Recorded<S> {
        Recorded {
            state: self.next,
            version: self.version,
            mark: Mark::default(),
        }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// A lawful edge, taken but not yet written down. Useless until the books have committed it.
#[derive(Debug)]
#[must_use = "a step that is not committed never happened"]
pub struct Step<S> {
    next: S,
    version: u64,
    entries: Vec<Entry>,
    hold: Option<Hold>,
}

impl<S> Step<S> {
    pub(crate) fn first(next: S, entry: Entry) -> Self {
        Self {
            next,
            version: 1,
            entries: vec![entry],
            hold: None,
        }
    }

    pub(crate) fn holding(self, hold: Option<Hold>) -> Self {
        Self { hold, ..self }
    }

    pub(crate) const fn hold(&self) -> Option<&Hold> {
        self.hold.as_ref()
    }

    pub(crate) fn map(self, change: impl FnOnce(S) -> S) -> Self {
        Self {
            next: change(self.next),
            ..self
        }
    }

    pub(crate) fn telling(mut self, entry: Entry) -> Self {
        self.entries.push(entry);
        self
    }

    /// The state this step leads to, before it is recorded.
    pub const fn next(&self) -> &S {
        &self.next
    }
}

/// Shows that a commit went through, and how far the ledger had come with it. Only this module can
/// make one, so only it can turn a step into a [`Recorded`].
#[derive(Debug)]
pub struct Seal(Mark);

/// A stored state. Sealed: core's own states are the only ones.
pub trait State: private::Sealed + Clone {
    /// The row that stores it.
    ///
    /// # Errors
    /// When the state cannot be written as JSON.
    fn row(&self, version: u64, silence: Duration) -> Result<Row, serde_json::Error>;
}

mod private {
    pub trait Sealed {}
}

macro_rules! stored_state {
    ($($state:ident in $all:ident),+) => {$(
        impl private::Sealed for $state {}
        impl State for $state {
            fn row(&self, version: u64, silence: Duration) -> Result<Row, serde_json::Error> {
                $all::$state(self.clone()).row(version, silence)
            }
        }
    )+};
}
stored_state!(
    Elevating in Lease, Active in Lease, Revoking in Lease, Ended in Lease,
    Pending in Request, Granting in Request, Granted in Request, Closed in Request
);

impl Lease {
    fn row(&self, version: u64, silence: Duration) -> Result<Row, serde_json::Error> {
        let terms = self.terms();
        Ok(Row {
            id: RowId::Lease(terms.id),
            version,
            state: self.state().to_owned(),
            is_final: matches!(self, Self::Ended(_)),
            request: terms.request,
            lane: Some(terms.plan.lane.clone()),
            owner: terms.owner.clone(),
            due_at: self.due_at(silence),
            body: serde_json::to_string(self)?,
        })
    }
}

impl Request {
    fn row(&self, version: u64, _silence: Duration) -> Result<Row, serde_json::Error> {
        let terms = self.terms();
        Ok(Row {
            id: RowId::Request(terms.id),
            version,
            state: self.state().to_owned(),
            is_final: matches!(self, Self::Closed(_)),
            request: terms.id,
            lane: None,
            owner: terms.owner.clone(),
            due_at: self.due_at(),
            body: serde_json::to_string(self)?,
        })
    }
}

/// Something made of steps that is committed as one: a step, several, or a tuple of such.
pub trait Record {
    /// What it is once it is recorded.
    type Recorded;

    /// Adds what it changes to a transaction.
    ///
    /// # Errors
    /// When a state cannot be written as JSON.
    fn write(&mut self, into: &mut Transaction, silence: Duration)
    -> Result<(), serde_json::Error>;

    /// Turns it into its recorded form. The seal shows that the commit went through.
    fn recorded(self, seal: &Seal) -> Self::Recorded;
}

impl<S: State> Record for Step<S> {
    type Recorded = Recorded<S>;

    fn write(
        &mut self,
        into: &mut Transaction,
        silence: Duration,
    ) -> Result<(), serde_json::Error> {
        into.rows.push(self.next.row(self.version, silence)?);
        into.entries.append(&mut self.entries);
        into.holds_placed.extend(self.hold.take());
        Ok(())
    }

    fn recorded(self, seal: &Seal) -> Recorded<S> {
        Recorded {
            state: self.next,
            version: self.version,
            mark: seal.0,
        }
    }
}

impl<R: Record> Record for Vec<R> {
    type Recorded = Vec<R::Recorded>;

    fn write(
        &mut self,
        into: &mut Transaction,
        silence: Duration,
    ) -> Result<(), serde_json::Error> {
        self.iter_mut()
            .try_for_each(|record| record.write(into, silence))
    }

    fn recorded(self, seal: &Seal) -> Self::Recorded {
        self.into_iter()
            .map(|record| record.recorded(seal))
            .collect()
    }
}

impl<R: Record> Record for Option<R> {
    type Recorded = Option<R::Recorded>;

    fn write(
        &mut self,
        into: &mut Transaction,
        silence: Duration,
    ) -> Result<(), serde_json::Error> {
        self.iter_mut()
            .try_for_each(|record| record.write(into, silence))
    }

    fn recorded(self, seal: &Seal) -> Self::Recorded {
        self.map(|record| record.recorded(seal))
    }
}

macro_rules! record_tuple {
    ($($name:ident $at:tt),+) => {
        impl<$($name: Record),+> Record for ($($name,)+) {
            type Recorded = ($($name::Recorded,)+);

            fn write(
                &mut self,
                into: &mut Transaction,
                silence: Duration,
            ) -> Result<(), serde_json::Error> {
                $(self.$at.write(into, silence)?;)+
                Ok(())
            }

            fn recorded(self, seal: &Seal) -> Self::Recorded {
                ($(self.$at.recorded(seal),)+)
            }
        }
    };
}
record_tuple!(A 0, B 1);
record_tuple!(A 0, B 1, C 2);
record_tuple!(A 0, B 1, C 2, D 3);

/// A lease as it was found in the ledger.
#[derive(Debug, PartialEq, Eq)]
pub enum FoundLease {
    /// An intent that somebody else made.
    Doubtful(Recorded<Doubtful>),
    /// Active.
    Active(Recorded<Active>),
    /// Being revoked.
    Revoking(Recorded<Revoking>),
    /// Over.
    Ended(Box<Ended>),
}

impl FoundLease {
    /// What never changes about it.
    #[must_use]
    pub fn terms(&self) -> &crate::lease::Terms {
        match self {
            Self::Doubtful(lease) => lease.terms(),
            Self::Active(lease) => lease.terms(),
            Self::Revoking(lease) => lease.terms(),
            Self::Ended(lease) => lease.terms(),
        }
    }

    /// The state's name.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match self {
            Self::Doubtful(_) => "elevating",
            Self::Active(_) => "active",
            Self::Revoking(_) => "revoking",
            Self::Ended(_) => "ended",
        }
    }
}

/// A request as it was found in the ledger.
#[derive(Debug, PartialEq, Eq)]
pub enum FoundRequest {
    /// Waiting for people.
    Pending(Recorded<Pending>),
    /// Decided; its leases are being elevated.
    Granting(Recorded<Granting>),
    /// All its leases were granted.
    Granted(Recorded<Granted>),
    /// Over.
    Closed(Box<Closed>),
}

impl FoundRequest {
    /// What never changes about it.
    #[must_use]
    pub fn terms(&self) -> &crate::request::Terms {
        match self {
            Self::Pending(request) => request.terms(),
            Self::Granting(request) => request.terms(),
            Self::Granted(request) => request.terms(),
            Self::Closed(request) => request.terms(),
        }
    }

    /// The state's name.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match self {
            Self::Pending(_) => "pending",
            Self::Granting(_) => "granting",
            Self::Granted(_) => "granted",
            Self::Closed(_) => "closed",
        }
    }
}

/// What is open in a lane.
#[derive(Debug)]
pub struct OpenLane {
    /// Its leases under revocation, and its other leases that are due.
    pub leases: Vec<FoundLease>,
    /// Its holds.
    pub holds: Vec<Hold>,
}

/// The ledger's typed face.
#[derive(Clone)]
pub struct Books {
    ledger: Arc<dyn Ledger>,
    silence: Duration,
    mark: Arc<Mutex<Mark>>,
    known: Arc<Mutex<Option<Posted<Standing>>>>,
}

/// What a sheet says, in the version that says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted<T> {
    /// What it says.
    pub says: T,
    name: String,
    version: u64,
}

impl<T> Posted<T> {
    /// That it still says this when something is committed.
    #[must_use]
    pub fn at(&self) -> SheetAt {
        SheetAt {
            name: self.name.clone(),
            version: self.version,
        }
    }
}

impl<T: Serialize> Posted<T> {
    /// The sheet that says something else from now on, unless somebody changes it first.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn changed(&self, says: &T) -> Result<Sheet, CommitError> {
        let body = serde_json::to_string(says)
            .map_err(|error| CommitError::Unavailable(format!("a sheet has no JSON: {error}")))?;
        Ok(Sheet {
            name: self.name.clone(),
            version: self.version.saturating_add(1),
            body,
        })
    }
}

impl<T: DeserializeOwned> Posted<T> {
    /// Reads a stored sheet.
    ///
    /// # Errors
    /// When it says something else than it should.
    pub fn read(sheet: &Sheet) -> Result<Self, CannotRead> {
        let says = serde_json::from_str(&sheet.body).map_err(|error| {
            CannotRead(format!(
                "the sheet `{}` is not what it should be: {error}",
                sheet.name
            ))
        })?;
        Ok(Self {
            says,
            name: sheet.name.clone(),
            version: sheet.version,
        })
    }
}

impl Books {
    /// Opens the books on a ledger. `silence` is how long an active lease may go without a sign
    /// of life before somebody must look at it.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, silence: Duration) -> Self {
        Self {
            ledger,
            silence,
            mark: Arc::default(),
            known: Arc::default(),
        }
    }

    /// The ledger beneath, for reading.
    #[must_use]
    pub fn ledger(&self) -> &dyn Ledger {
        self.ledger.as_ref()
    }

    /// How long a lease may be silent.
    #[must_use]
    pub const fn silence(&self) -> Duration {
        self.silence
    }

    /// Commits steps as one transaction.
    ///
    /// # Errors
    /// As the ledger says. Nothing is recorded then, unless the outcome is unknown.
    pub async fn record<R: Record>(&self, record: R) -> Result<R::Recorded, CommitError> {
        self.record_with(record, Transaction::default()).await
    }

    /// Commits steps together with what else must happen at once: once-keys, claims, budgets.
    ///
    /// # Errors
    /// As the ledger says. Nothing is recorded then, unless the outcome is unknown.
    pub async fn record_with<R: Record>(
        &self,
        mut record: R,
        mut also: Transaction,
    ) -> Result<R::Recorded, CommitError> {
        record
            .write(&mut also, self.silence)
            .map_err(|error| CommitError::Unavailable(format!("a state has no JSON: {error}")))?;
        let sequence = self.ledger.commit(also).await?;
        Ok(record.recorded(&Seal(self.came_to(sequence))))
    }

    /// Commits what changes no lease and no request.
    ///
    /// # Errors
    /// As the ledger says.
    pub async fn note(&self, transaction: Transaction) -> Result<(), CommitError> {
        let sequence = self.ledger.commit(transaction).await?;
        self.came_to(sequence);
        Ok(())
    }

    /// How far the ledger has come, as far as this process knows. Other brokers may have brought
    /// it further.
    #[must_use]
    pub fn mark(&self) -> Mark {
        *self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of how far the ledger has come at least.
    fn came_to(&self, sequence: u64) -> Mark {
        self.raise(|mark| mark.sequence = mark.sequence.max(sequence))
    }

    fn raise(&self, change: impl FnOnce(&mut Mark)) -> Mark {
        let mut mark = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut mark);
        *mark
    }

    /// How far the ledger has come, as the ledger itself says now.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn mark_now(&self) -> Result<Mark, CannotRead> {
        let frontier = self.ledger.frontier().await?;
        self.standing().await?;
        Ok(self.came_to(frontier.size()))
    }

    /// The standing orders, as the ledger has them now.
    ///
    /// # Errors
    /// When the ledger cannot be read, or holds something that is not standing orders.
    pub async fn standing(&self) -> Result<Posted<Standing>, CannotRead> {
        let posted = self.sheet::<Standing>(standing::SHEET).await?;
        self.raise(|mark| mark.era = mark.era.max(posted.says.era));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(posted.clone());
        Ok(posted)
    }

    /// The standing orders as they were last read: whoever acts on them asserts with
    /// [`Posted::at`] that they still stand.
    ///
    /// # Errors
    /// When they were never read, and the ledger cannot be read.
    pub async fn standing_as_known(&self) -> Result<Posted<Standing>, CannotRead> {
        let known = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match known {
            Some(posted) => Ok(posted),
            None => self.standing().await,
        }
    }

    /// A sheet, or what an empty one says when there is none.
    ///
    /// # Errors
    /// When the ledger cannot be read, or the sheet says something else than it should.
    pub async fn sheet<T: DeserializeOwned + Default>(
        &self,
        name: &str,
    ) -> Result<Posted<T>, CannotRead> {
        match self.ledger.sheet(name).await? {
            Some(sheet) => Posted::read(&sheet),
            None => Ok(Posted {
                says: T::default(),
                name: name.to_owned(),
                version: 0,
            }),
        }
    }

    /// One lease.
    ///
    /// # Errors
    /// When the ledger cannot be read, or holds something that is not a lease.
    pub async fn lease(&self, id: LeaseId) -> Result<Option<FoundLease>, CannotRead> {
        let row = self.ledger.row(RowId::Lease(id)).await?;
        row.map(|row| found_lease(&row)).transpose()
    }

    /// The leases of a request.
    ///
    /// # Errors
    /// When the ledger cannot be read, or holds something that is not a lease.
    pub async fn leases_of(&self, request: RequestId) -> Result<Vec<FoundLease>, CannotRead> {
        let rows = self.ledger.leases_of(request).await?;
        rows.iter().map(found_lease).collect()
    }

    /// One request.
    ///
    /// # Errors
    /// When the ledger cannot be read, or holds something that is not a request.
    pub async fn request(&self, id: RequestId) -> Result<Option<FoundRequest>, CannotRead> {
        let row = self.ledger.row(RowId::Request(id)).await?;
        row.map(|row| found_request(&row)).transpose()
    }

    /// Requests that are due.
    ///
    /// # Errors
    /// When the ledger cannot be read, or holds something that is not a request.
    pub async fn due_requests(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<FoundRequest>, CannotRead> {
        let rows = self.ledger.due_requests(now, limit).await?;
        rows.iter().map(found_request).collect()
    }

    /// Opens a lane.
    ///
    /// # Errors
    /// When the ledger cannot be read, or holds something that is not a lease.
    pub async fn lane(&self, lane: &LaneId, now: Timestamp) -> Result<OpenLane, CannotRead> {
        let found = self.ledger.lane(lane, now).await?;
        let leases = found
            .rows
            .iter()
            .map(found_lease)
            .collect::<Result<_, _>>()?;
        Ok(OpenLane {
            leases,
            holds: found.holds,
        })
    }
}

/// Reads a lease row. An intent comes back as [`Doubtful`]: whoever loads it did not make it.
///
/// # Errors
/// When the row does not hold a lease.
pub fn found_lease(row: &Row) -> Result<FoundLease, CannotRead> {
    let (version, mark) = (row.version, Mark::default());
    Ok(match parse::<Lease>(row)? {
        Lease::Elevating(state) => FoundLease::Doubtful(Recorded {
            state: Doubtful(state),
            version,
            mark,
        }),
        Lease::Active(state) => FoundLease::Active(Recorded {
            state,
            version,
            mark,
        }),
        Lease::Revoking(state) => FoundLease::Revoking(Recorded {
            state,
            version,
            mark,
        }),
        Lease::Ended(state) => FoundLease::Ended(Box::new(state)),
    })
}

fn found_request(row: &Row) -> Result<FoundRequest, CannotRead> {
    let (version, mark) = (row.version, Mark::default());
    Ok(match parse::<Request>(row)? {
        Request::Pending(state) => FoundRequest::Pending(Recorded {
            state,
            version,
            mark,
        }),
        Request::Granting(state) => FoundRequest::Granting(Recorded {
            state,
            version,
            mark,
        }),
        Request::Granted(state) => FoundRequest::Granted(Recorded {
            state,
            version,
            mark,
        }),
        Request::Closed(state) => FoundRequest::Closed(Box::new(state)),
    })
}

fn parse<T: DeserializeOwned>(row: &Row) -> Result<T, CannotRead> {
    serde_json::from_str(&row.body).map_err(|error| {
        CannotRead(format!(
            "row {:?} is not what it should be: {error}",
            row.id
        ))
    })
}
