//! Reads proofs of possession with other code than wrote them.

use jsonwebtoken::jwk::ThumbprintHash;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

pub struct Proof {
    pub id: String,
    pub method: String,
    pub url: String,
    pub issued_at: i64,
    pub thumbprint: String,
}

/// A proof that verifies, and that was made for this token.
pub fn read(proof: &str, token: Option<&str>) -> Result<Proof, Box<dyn std::error::Error>> {
    let header = decode_header(proof)?;
    let jwk = header.jwk.ok_or("no key")?;
    if header.typ.as_deref() != Some("dpop+jwt") {
        return Err("not a proof".into());
    }
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    let claims = decode::<Value>(proof, &DecodingKey::from_jwk(&jwk)?, &validation)?.claims;
    let text = |name: &str| claims[name].as_str().map(str::to_owned);
    if text("ath") != token.map(hash) {
        return Err("made for another token".into());
    }
    Ok(Proof {
        id: text("jti").ok_or("no jti")?,
        method: text("htm").ok_or("no htm")?,
        url: text("htu").ok_or("no htu")?,
        issued_at: claims["iat"].as_i64().ok_or("no iat")?,
        thumbprint: jwk.thumbprint(ThumbprintHash::SHA256)?,
    })
}

fn hash(token: &str) -> String {
    use base64::Engine as _;
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash)
}
