//! azure: being written.
