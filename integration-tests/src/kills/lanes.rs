//! The lanes of the installation: a resource each, on which one job at a time has a lease.

use core::ops::Range;

/// How many lanes the installation has.
pub const LANES: usize = 19;
/// Those on AWS: a role and a bucket each.
pub const AWS_LANES: Range<usize> = 0..12;
/// Those that a world keeps busy: some of each cloud.
pub const BUSY_LANES: [usize; 12] = [0, 1, 2, 3, 4, 12, 13, 14, 15, 16, 17, 18];
/// Those among them whose leases end within seconds, whatever befell them.
pub const PROMPT_LANES: [usize; 8] = [0, 1, 2, 3, 4, 12, 13, 14];

/// Whose cloud a lane lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vendor {
    /// Amazon.
    Aws,
    /// Google.
    Google,
    /// Microsoft.
    Azure,
}

impl Vendor {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Aws, Self::Google, Self::Azure];
}

/// How a lane's leases are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// On AWS: by a session of a role, ended by a Deny on its tag.
    Session,
    /// On Google Cloud: by an account of the lane's pool, with bindings of the lease's own.
    Account,
    /// The same, with bindings that stand.
    Standing,
    /// By tokens of one account that an access boundary narrows; nothing ends them but time.
    Bounded,
    /// On Azure: by a plain role assignment of a slot.
    Rbac,
    /// By an assignment of Privileged Identity Management.
    Pim,
}

impl Way {
    /// How leases of a lane are carried.
    #[must_use]
    pub fn of(lane: usize) -> Self {
        match lane {
            0..12 => Self::Session,
            12 | 13 => Self::Account,
            14 => Self::Standing,
            15 => Self::Bounded,
            16 | 17 => Self::Rbac,
            18 => Self::Pim,
            LANES.. => panic!("there is no lane {lane}"),
        }
    }

    /// Where.
    #[must_use]
    pub const fn vendor(self) -> Vendor {
        match self {
            Self::Session => Vendor::Aws,
            Self::Account | Self::Standing | Self::Bounded => Vendor::Google,
            Self::Rbac | Self::Pim => Vendor::Azure,
        }
    }

    /// What a job asks for. Nothing that derives what outlives its lease.
    #[must_use]
    pub const fn capability(self) -> &'static str {
        match self {
            Self::Session | Self::Rbac | Self::Pim => "object-storage:write",
            Self::Account | Self::Standing | Self::Bounded => "object-storage:read",
        }
    }

    /// Where in the resource; what stands, stands for all of it.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Standing => "",
            Self::Session | Self::Account | Self::Bounded | Self::Rbac | Self::Pim => "/releases/",
        }
    }

    /// For how long a job asks, in seconds, unless it asks for what it gets by itself. What nothing
    /// ends but time is over soon.
    #[must_use]
    pub const fn ttl_seconds(self) -> Option<u32> {
        match self {
            Self::Bounded => Some(TTL_SECONDS_MIN),
            Self::Session | Self::Account | Self::Standing | Self::Rbac | Self::Pim => None,
        }
    }
}

/// The shortest time that a job may ask for.
pub(super) const TTL_SECONDS_MIN: u32 = 15;

/// The lanes that are carried so.
pub(super) fn carried_by(way: Way) -> impl Iterator<Item = usize> {
    (0..LANES).filter(move |lane| Way::of(*lane) == way)
}

/// The lanes of a cloud.
pub(super) fn lanes_of(vendor: Vendor) -> impl Iterator<Item = usize> {
    (0..LANES).filter(move |lane| Way::of(*lane).vendor() == vendor)
}

/// The name of a lane's bucket or container, and the operator's name for it.
#[must_use]
pub fn bucket_of(lane: usize) -> String {
    format!("artifacts-{lane:02}")
}
