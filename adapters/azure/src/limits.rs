//! Azure's numbers, checked on our side before Azure is asked, and our own around them. Each says
//! where it is from.

/// An assignment that PIM made cannot be removed for so long, in seconds ("Can't be removed within
/// five minutes of it being assigned": PIM, "Assign Azure resource roles").
pub const FLOOR_SECONDS: u64 = 300;

/// Our own allowance after the floor, in seconds: the cloud's clock is not ours.
pub const FLOOR_MARGIN_SECONDS: u64 = 5;

/// The shortest assignment that PIM makes, in seconds ("Can't be assigned for a duration of less
/// than five minutes", same page).
pub const ASSIGNMENT_SECONDS_MIN: u32 = 300;

/// By how much an assignment outlives its lease, in seconds, beside the time that granting may
/// take: the lease's end is ours to bring, and Azure's own end only the way out when we do not.
pub const ASSIGNMENT_MARGIN_SECONDS: u32 = 60;

/// The longest that an access token lives, in seconds ("a random value ranging between 60-90
/// minutes": configurable token lifetimes).
pub const TOKEN_SECONDS_MAX: u32 = 5_400;

/// The lives of an assertion that a job may hold, in seconds. It cannot be taken back.
pub const ASSERTION_SECONDS_MIN: u32 = 300;
/// See [`ASSERTION_SECONDS_MIN`].
pub const ASSERTION_SECONDS_MAX: u32 = 600;

/// How long an assertion lives that is exchanged at once, in seconds.
pub const EXCHANGE_SECONDS: u64 = 300;

/// The longest that we reckon Resource Manager may still act on a call after our own deadline, in
/// seconds. Not published: a call is answered within about a minute, and we take five.
pub const LANDS_LATE_SECONDS: u32 = 300;

/// How long a change of role assignments may take to be in force, in seconds ("it can take up to 10
/// minutes for changes to take effect": troubleshoot Azure RBAC).
pub const SETTLE_SECONDS: u32 = 600;

/// For how long after a removal Azure was seen to answer `RoleAssignmentExists` for the same
/// assignment, in seconds, rounded up: two minutes, in one record.
pub const TAIL_SECONDS: u64 = 300;

/// How far the clocks may be apart, in seconds.
pub const CLOCK_SKEW_SECONDS: u64 = 60;

/// The longest that something derived may live after its token, in seconds: a container registry's
/// refresh token.
pub const DERIVED_SECONDS_MAX: u32 = 10_800;

/// Our own allowance from the end of a lease to the removal, in seconds.
pub const REMOVAL_ALLOWANCE_SECONDS: u32 = 10;

/// The longest that anybody waits before a lease under revocation is looked at again, in seconds.
pub const LOOK_SECONDS_MAX: u64 = 60;

/// How soon an assignment is tried again that could not be removed and that does not say when it
/// can, in seconds.
pub const LOOK_SECONDS: u64 = 15;

/// How soon an elevation may be tried again on a slot that is not bare, in seconds.
pub const NOT_BARE_SECONDS: u64 = 60;

/// Between two looks at an assignment that is being made, in milliseconds.
pub const POLL_MILLISECONDS: u64 = 1_000;

/// The most roles and scopes that one lease may have: each is one call that gives.
pub const GRANTS_MAX: usize = 8;

/// The longest condition (Azure ABAC: "8 KB").
pub const CONDITION_CHARACTERS_MAX: usize = 8_192;

/// The most pages of one list that are read. A slot has a handful of assignments.
pub const PAGES_MAX: u32 = 50;

/// When fewer calls than this are left in Azure's bucket, the log says so.
pub const CALLS_LEFT_LOUD: u32 = 10;
