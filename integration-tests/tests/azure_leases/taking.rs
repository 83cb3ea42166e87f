//! What `doctor` finds.
