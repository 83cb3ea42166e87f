//! Recorded states, the steps between them, and how a step becomes one: by a commit and in no other
//! way.

use core::ops::Deref;
use core::time::Duration;

use crate::adapter::Mark;
use crate::audit::Entry;
use crate::evidence::Hold;
use crate::lease::{self, Active, Elevating, Ended, Revoking};
use crate::ledger::{Row, RowId, Transaction};
use crate::request::{self, Closed, Granted, Granting, Pending};

/// A state that the ledger holds, in the version it holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Recorded<S> {
    pub(super) state: S,
    pub(super) version: u64,
    pub(super) mark: Mark,
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
pub struct Seal(pub(super) Mark);

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
    ($($state:ident in $room:ident),+) => {$(
        impl private::Sealed for $state {}
        impl State for $state {
            fn row(&self, version: u64, silence: Duration) -> Result<Row, serde_json::Error> {
                $room::Written::$state(self).row(version, silence)
            }
        }
    )+};
}
stored_state!(
    Elevating in lease, Active in lease, Revoking in lease, Ended in lease,
    Pending in request, Granting in request, Granted in request, Closed in request
);

impl lease::Written<'_> {
    pub(crate) fn row(self, version: u64, silence: Duration) -> Result<Row, serde_json::Error> {
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
            body: serde_json::to_string(&self)?,
        })
    }
}

impl request::Written<'_> {
    fn row(self, version: u64, _silence: Duration) -> Result<Row, serde_json::Error> {
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
            body: serde_json::to_string(&self)?,
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
