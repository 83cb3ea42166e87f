//! Allow policies: what they are, how they are read and written, and what of them is enforced when.

mod document;
mod enforced;
mod limits;
mod reading;

pub(crate) use document::{Binding, Condition, Document};
pub(crate) use enforced::{Delays, PolicyState};
pub(crate) use limits::Surroundings;
pub(crate) use reading::{Proposed, SET_POLICY, STORAGE_POLICY, Writing};
