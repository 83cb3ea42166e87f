//! Google Cloud's numbers, checked on our side before Google is asked, and our own around them.
//! Each says where it is from.

/// A token lives at most so long, in seconds, unless an organisation's policy allows more ("can
/// not have lifetimes of more than 1 hour. Use the Org Policy Constraint
/// constraints/iam.allowServiceAccountCredentialLifetimeExtension to allow up to 12 hours").
pub const TOKEN_SECONDS: u32 = 3_600;

/// The longest that an organisation's policy can allow, in seconds (see [`TOKEN_SECONDS`]).
pub const TOKEN_SECONDS_MAX: u32 = 43_200;

/// How many principals an allow policy may name, each occurrence counted ("The number of members
/// in the policy (1,503) is larger than the maximum allowed size 1,500").
pub const POLICY_MEMBERS_MAX: usize = 1_500;

/// How many conditional bindings of the same role a principal may have in one policy (IAM quotas:
/// "Role bindings in a single allow policy for the same principal and the same role, but different
/// condition expressions: 20").
pub const CONDITIONAL_BINDINGS_MAX: usize = 20;

/// The characters an access boundary may have ("should not exceed 2048 characters").
pub const BOUNDARY_CHARACTERS_MAX: usize = 2_048;

/// How many rules an access boundary may have (Credential Access Boundaries).
pub const BOUNDARY_RULES_MAX: usize = 10;

/// How long a resumable upload can be carried on, in seconds ("must be completed within a week of
/// being initiated", Cloud Storage): the longest-lived thing that a lease can derive.
pub const DERIVED_SECONDS_MAX: u32 = 604_800;

/// After our own deadline, how long Google may still act on a call, in seconds. Google publishes
/// nothing: a request is acted on when it arrives, and this is our allowance for one that was held
/// up on its way.
pub const LANDS_LATE_SECONDS: u32 = 120;

/// How far our clock and Google's may be apart, in seconds, before nothing is minted.
pub const CLOCK_SKEW_SECONDS_MAX: u32 = 60;

/// How long an account rests after its bindings were removed, in seconds, whatever its tokens do
/// ("Typically 2 minutes, potentially 7 minutes or longer", access change propagation): until then
/// the next lease's token could meet the bindings of the last.
pub const REMOVAL_SECONDS: u64 = 600;

/// Our own allowance from the end of a lease to the moment its account is disabled, in seconds:
/// the calls, and the queue of a policy's writer.
pub const WRITE_ALLOWANCE_SECONDS: u32 = 10;

/// How long after the end of a lease its condition still holds, in seconds. A lease ends before
/// its condition does, or clocks that differ would end it early.
pub const CONDITION_MARGIN_SECONDS: u64 = 60;

/// How often a policy is read again after somebody else changed it.
pub const CONFLICTS_MAX: u32 = 10;

/// A lease that only waits is looked at again after so many seconds: somebody may have undone what
/// ends it.
pub const LOOK_SECONDS_MAX: u64 = 60;

/// How old a policy may be, in seconds, that is looked at only to see whether somebody undid
/// something.
pub const POLICY_AGE_SECONDS_MAX: u64 = 30;

/// How many accounts a sweep looks at in one page.
pub const SWEPT_ACCOUNTS: usize = 50;

/// How long the token lives at most, in seconds, with which an account asks for its grants: it is
/// used at once.
pub const ASKING_SECONDS: u32 = 300;

/// How many grants are asked for in one page.
pub const GRANTS_IN_A_PAGE: usize = 200;

/// How many pages of grants are looked through. Privileged Access Manager keeps what is over for
/// some weeks.
pub const GRANT_PAGES_MAX: usize = 100;

/// The largest answer that is read, in bytes: a policy has 64 KB at most, and room around it.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;
