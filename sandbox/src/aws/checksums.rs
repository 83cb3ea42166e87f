//! The checksums S3 takes along with an object: CRC-32, CRC-32C, CRC-64/NVME, SHA-1, SHA-256, and MD5.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

/// One of S3's `x-amz-checksum-…` algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

const HEADER_PREFIX: &str = "x-amz-checksum-";

impl Algorithm {
    pub(crate) const ALL: [Algorithm; 5] = [
        Algorithm::Crc32,
        Algorithm::Crc32c,
        Algorithm::Crc64Nvme,
        Algorithm::Sha1,
        Algorithm::Sha256,
    ];

    /// The algorithm of a header or trailer name, in lower case.
    pub(crate) fn of_header(name: &str) -> Option<Algorithm> {
        let wanted = name.strip_prefix(HEADER_PREFIX)?;
        Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == wanted)
    }

    /// As headers name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "crc32",
            Algorithm::Crc32c => "crc32c",
            Algorithm::Crc64Nvme => "crc64nvme",
            Algorithm::Sha1 => "sha1",
            Algorithm::Sha256 => "sha256",
        }
    }

    /// The header that carries it.
    pub(crate) fn header(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "x-amz-checksum-crc32",
            Algorithm::Crc32c => "x-amz-checksum-crc32c",
            Algorithm::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Algorithm::Sha1 => "x-amz-checksum-sha1",
            Algorithm::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The checksum as S3 writes it: big-endian bytes in base64.
    pub(crate) fn of(self, data: &[u8]) -> String {
        let crc32_bytes = |table: &[u64], data| {
            let value = crc(table, u64::from(u32::MAX), data);
            u32::try_from(value & u64::from(u32::MAX))
                .unwrap_or_default()
                .to_be_bytes()
                .to_vec()
        };
        let bytes = match self {
            Algorithm::Crc32 => crc32_bytes(CRC32.as_slice(), data),
            Algorithm::Crc32c => crc32_bytes(CRC32C.as_slice(), data),
            Algorithm::Crc64Nvme => crc(CRC64_NVME.as_slice(), u64::MAX, data)
                .to_be_bytes()
                .to_vec(),
            Algorithm::Sha1 => digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, data)
                .as_ref()
                .to_vec(),
            Algorithm::Sha256 => digest::digest(&digest::SHA256, data).as_ref().to_vec(),
        };
        STANDARD.encode(bytes)
    }
}

static CRC32: LazyLock<Vec<u64>> = LazyLock::new(|| table(0xEDB8_8320));
static CRC32C: LazyLock<Vec<u64>> = LazyLock::new(|| table(0x82F6_3B78));
static CRC64_NVME: LazyLock<Vec<u64>> = LazyLock::new(|| table(0x9A6C_9329_AC4B_C9B5));

fn table(reflected_polynomial: u64) -> Vec<u64> {
    let step = |value: u64| {
        if value & 1 == 1 {
            (value >> 1) ^ reflected_polynomial
        } else {
            value >> 1
        }
    };
    (0..256)
        .map(|byte| (0..8).fold(byte, |value, _| step(value)))
        .collect()
}

/// A reflected CRC that starts and ends with all ones.
fn crc(table: &[u64], ones: u64, data: &[u8]) -> u64 {
    let folded = data.iter().fold(ones, |value, byte| {
        let index = usize::try_from((value ^ u64::from(*byte)) & 0xFF).unwrap_or_default();
        (value >> 8) ^ table.get(index).copied().unwrap_or_default()
    });
    folded ^ ones
}

/// MD5 as S3 uses it for entity tags: in hex.
pub(crate) fn md5_hex(data: &[u8]) -> String {
    super::sigv4::hex(&md5(data))
}

/// MD5 as the `Content-MD5` header has it: in base64.
pub(crate) fn md5_base64(data: &[u8]) -> String {
    STANDARD.encode(md5(data))
}

/// The raw digest; a multipart object's tag is the digest of its parts' digests.
pub(crate) fn md5(data: &[u8]) -> Vec<u8> {
    Md5::digest(data).to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )]
    use super::*;

    /// The check values of the CRC catalogue for `123456789`, and FIPS 180's for the hashes.
    #[test]
    fn the_catalogued_check_values_come_out() {
        let hex = |algorithm: Algorithm, data: &[u8]| {
            super::super::sigv4::hex(&STANDARD.decode(algorithm.of(data)).unwrap())
        };
        assert_eq!(hex(Algorithm::Crc32, b"123456789"), "cbf43926");
        assert_eq!(hex(Algorithm::Crc32c, b"123456789"), "e3069283");
        assert_eq!(hex(Algorithm::Crc64Nvme, b"123456789"), "ae8b14860a799888");
        assert_eq!(
            hex(Algorithm::Sha1, b"abc"),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(md5_hex(b"abc"), "900150983cd24fb0d6963f7d28e17f72");
    }

    #[test]
    fn header_names_name_algorithms() {
        assert_eq!(
            Algorithm::of_header("x-amz-checksum-crc64nvme"),
            Some(Algorithm::Crc64Nvme)
        );
        assert_eq!(Algorithm::of_header("x-amz-checksum-type"), None);
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::of_header(algorithm.header()), Some(algorithm));
        }
    }
}
