//! The commands, one file each.

pub mod audit;
pub mod demo;
pub mod dev;
pub mod keys;
pub mod lease;
pub mod run;
pub mod sandbox;
pub mod serve;
