//! The two checksums of an object.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

/// MD5, as base64.
pub(super) fn md5(data: &[u8]) -> String {
    STANDARD.encode(Md5::digest(data))
}

/// CRC-32C (Castagnoli), big-endian as base64.
pub(super) fn crc32c(data: &[u8]) -> String {
    const REFLECTED_POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut crc = u32::MAX;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc >>= 1;
            if carry == 1 {
                crc ^= REFLECTED_POLYNOMIAL;
            }
        }
    }
    STANDARD.encode((!crc).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_check_values_hold() {
        // The check value of CRC-32C is 0xe3069283.
        assert_eq!(
            crc32c(b"123456789"),
            STANDARD.encode(0xe306_9283_u32.to_be_bytes())
        );
        assert_eq!(md5(b""), "1B2M2Y8AsgTpgAmY7PhCfg==");
    }
}
