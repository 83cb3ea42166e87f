//! What an operator may say about the ledger.

use std::path::PathBuf;

use serde::Deserialize;

/// How many threads read, unless told otherwise.
pub const READERS_DEFAULT: u16 = 2;
/// The most threads that may read.
pub const READERS_MAX: u16 = 64;
/// How many transactions may wait for the writer, unless told otherwise.
pub const QUEUE_LENGTH_DEFAULT: u16 = 1024;
/// The most transactions that may wait for the writer.
pub const QUEUE_LENGTH_MAX: u16 = 16_384;
/// The least that the file may be limited to, in MiB. With less it could not hold its own tables
/// and a working day of audit entries.
pub const SIZE_MIB_MIN: u32 = 1;

/// Where the ledger is and how much it may use.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqliteOptions {
    /// The file. It is made, readable and writable by its owner only, when it is not there; its
    /// folder must be. It must lie on a local disk: locks over a network are not locks.
    pub path: PathBuf,
    /// How many threads read, from 1 to [`READERS_MAX`].
    #[serde(default = "readers_default")]
    pub readers: u16,
    /// How many transactions may wait for the writer, from 1 to [`QUEUE_LENGTH_MAX`]. Whoever
    /// comes when it is full waits for a place.
    #[serde(default = "queue_length_default")]
    pub queue_length: u16,
    /// The size in MiB that the file may grow to, at least [`SIZE_MIB_MIN`]; without it, until
    /// the disk is full. At the limit nothing more is taken, and nothing is lost.
    #[serde(default)]
    pub size_max_mib: Option<u32>,
}

const fn readers_default() -> u16 {
    READERS_DEFAULT
}

const fn queue_length_default() -> u16 {
    QUEUE_LENGTH_DEFAULT
}

impl SqliteOptions {
    /// A ledger in `path`, with everything else as it is by default.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            readers: READERS_DEFAULT,
            queue_length: QUEUE_LENGTH_DEFAULT,
            size_max_mib: None,
        }
    }

    /// The first option that is out of its range, in words.
    pub(crate) fn out_of_range(&self) -> Option<String> {
        let within = |name: &str, seen: u32, least: u32, most: u32| {
            (seen < least || seen > most)
                .then(|| format!("`{name}` is {seen}, expected {least} to {most}"))
        };
        within("readers", self.readers.into(), 1, READERS_MAX.into())
            .or_else(|| {
                let (seen, most) = (self.queue_length.into(), QUEUE_LENGTH_MAX.into());
                within("queue_length", seen, 1, most)
            })
            .or_else(|| {
                let seen = self.size_max_mib?;
                within("size_max_mib", seen, SIZE_MIB_MIN, u32::MAX)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_option_has_its_edges() {
        let good = SqliteOptions::at("ledger.db");
        assert_eq!(good.out_of_range(), None);
        let at_the_edge = SqliteOptions {
            readers: READERS_MAX,
            queue_length: QUEUE_LENGTH_MAX,
            size_max_mib: Some(SIZE_MIB_MIN),
            ..good.clone()
        };
        assert_eq!(at_the_edge.out_of_range(), None);
        let cases = [
            (
                "`readers` is 0, expected 1 to 64",
                SqliteOptions {
                    readers: 0,
                    ..good.clone()
                },
            ),
            (
                "`readers` is 65, expected 1 to 64",
                SqliteOptions {
                    readers: READERS_MAX + 1,
                    ..good.clone()
                },
            ),
            (
                "`queue_length` is 0, expected 1 to 16384",
                SqliteOptions {
                    queue_length: 0,
                    ..good.clone()
                },
            ),
            (
                "`queue_length` is 16385, expected 1 to 16384",
                SqliteOptions {
                    queue_length: QUEUE_LENGTH_MAX + 1,
                    ..good.clone()
                },
            ),
            (
                "`size_max_mib` is 0, expected 1 to 4294967295",
                SqliteOptions {
                    size_max_mib: Some(0),
                    ..good.clone()
                },
            ),
        ];
        for (words, options) in cases {
            assert_eq!(options.out_of_range().as_deref(), Some(words));
        }
    }
}
