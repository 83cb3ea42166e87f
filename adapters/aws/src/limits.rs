//! AWS's numbers, checked on our side before AWS is asked, and our own around them. Each says
//! where it is from.

/// A session lives at least so long, in seconds (STS, `AssumeRole`, `DurationSeconds`).
pub const SESSION_SECONDS_MIN: u32 = 900;

/// A session lives at most so long, in seconds (STS, `AssumeRole`, `DurationSeconds`; the role's
/// own maximum may be lower, and is one hour when the caller is itself a role's session).
pub const SESSION_SECONDS_MAX: u32 = 43_200;

/// The characters a session policy may have (STS, `AssumeRole`, `Policy`: "can't exceed 2,048
/// characters").
pub const SESSION_POLICY_CHARACTERS: u32 = 2_048;

/// The characters all inline policies of a role may have together, white space not counted (IAM
/// quotas, "Role inline policies").
pub const ROLE_INLINE_CHARACTERS: u32 = 10_240;

/// The characters a policy's name may have (IAM, `PutRolePolicy`, `PolicyName`).
pub const POLICY_NAME_LENGTH_MAX: usize = 128;

/// The characters a role's name may have (IAM, `CreateRole`, `RoleName`).
pub const ROLE_NAME_LENGTH_MAX: usize = 64;

/// The characters a role's path may have (IAM, `CreateRole`, `Path`).
pub const ROLE_PATH_LENGTH_MAX: usize = 512;

/// The characters a session tag's value may have (STS, `Tag`).
pub const TAG_VALUE_LENGTH_MAX: usize = 256;

/// How long after its time stamp AWS still acts on a signed request, in seconds: "Signature
/// expired: … is now earlier than … (… - 15 min.)", as STS answers. Counted on AWS's clock.
pub const LANDS_LATE_SECONDS: u32 = 900;

/// The longest that AWS lets something derived from a session live, in seconds: a registry login,
/// a console session.
pub const DERIVED_SECONDS_MAX: u32 = 43_200;

/// How many roles a sweep looks at in one page.
pub const SWEPT_ROLES: i32 = 50;

/// How far our clock and AWS's may be apart, in seconds, before nothing is minted. Beyond it,
/// [`LANDS_LATE_SECONDS`] would no longer bound when a lost call can land.
pub const CLOCK_SKEW_SECONDS_MAX: u32 = 60;

/// Our own allowance from the end of a lease to the moment the Deny is written, in seconds: one
/// write a second and role, and the calls around it.
pub const WRITE_ALLOWANCE_SECONDS: u32 = 5;

/// A lease whose Deny is in force but which waits for something derived is looked at again after
/// so many seconds: somebody may have undone the Deny.
pub const LOOK_SECONDS_MAX: u64 = 60;

/// How full a session token may be, in percent of its maximum, before the log says so.
pub const TOKEN_UTILIZATION_LOUD: i32 = 80;

/// How many pages of a role's policy names are read; IAM gives 100 names a page, and the quota on
/// characters leaves room for far fewer than 1000 policies.
pub const POLICY_PAGES_MAX: u32 = 10;
