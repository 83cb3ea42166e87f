//! The commands, one file each.

pub mod audit;
pub mod demo;
pub mod dev;
pub mod doctor;
pub mod keys;
pub mod lease;
pub mod ledger;
pub mod operate;
pub mod published;
pub mod run;
pub mod sandbox;
pub mod serve;
