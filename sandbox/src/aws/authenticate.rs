//! From a signature to a principal, with each service's own words for a refusal.

use super::cloud::Cloud;
use super::credentials::Principal;
use super::errors::AwsError;
use super::server::Service;
use super::sigv4::{ClaimedSignature, Refusal, Signed};
use crate::call::Call;

/// Who signed, and what later chunks of the body are checked with.
pub(crate) struct Authenticated {
    pub(crate) principal: Principal,
    pub(crate) signed: Signed,
}

impl Cloud {
    /// Checks key, token, signature, date and expiry, in this order.
    pub(crate) fn authenticate(
        &self,
        service: Service,
        call: &Call,
        claimed: &ClaimedSignature,
    ) -> Result<Authenticated, AwsError> {
        let key = self
            .keyring
            .key(&claimed.access_key_id)
            .ok_or_else(|| unknown_key(service))?;
        match (&key.token, &claimed.session_token) {
            (None, None) => {}
            (Some(expected), Some(given)) if expected == given => {}
            // Temporary keys without their token are as good as unknown.
            (Some(_), None) => return Err(unknown_key(service)),
            (_, Some(_)) => return Err(wrong_token(service)),
        }
        let signed = claimed
            .verify(call, &key.secret, self.clock.wire_now())
            .map_err(|refusal| refused_signature(service, refusal))?;
        if key.has_expired(self.clock.now()) {
            return Err(expired_token(service));
        }
        Ok(Authenticated {
            principal: key.owner.clone(),
            signed,
        })
    }
}

fn unknown_key(service: Service) -> AwsError {
    match service {
        Service::S3 => AwsError::new(
            403,
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
        ),
        Service::Sts | Service::Iam => AwsError::new(
            403,
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
        ),
    }
}

fn wrong_token(service: Service) -> AwsError {
    match service {
        Service::S3 => AwsError::new(
            400,
            "InvalidToken",
            "The provided token is malformed or otherwise invalid.",
        ),
        Service::Sts | Service::Iam => unknown_key(service),
    }
}

fn expired_token(service: Service) -> AwsError {
    match service {
        Service::S3 => AwsError::new(400, "ExpiredToken", "The provided token has expired."),
        Service::Sts | Service::Iam => AwsError::new(
            403,
            "ExpiredToken",
            "The security token included in the request is expired",
        ),
    }
}

/// How each service words a signature that does not count.
pub(crate) fn refused_signature(service: Service, refusal: Refusal) -> AwsError {
    match (service, refusal) {
        (Service::S3, Refusal::Incomplete(message)) => {
            AwsError::new(400, "AuthorizationHeaderMalformed", message)
        }
        (Service::Sts | Service::Iam, Refusal::Incomplete(message)) => {
            AwsError::new(400, "IncompleteSignature", message)
        }
        (_, Refusal::Mismatch) => AwsError::new(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. \
             Check your AWS Secret Access Key and signing method.",
        ),
        (Service::S3, Refusal::Skewed { .. }) => AwsError::new(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        ),
        (
            Service::Sts | Service::Iam,
            Refusal::Skewed {
                request,
                cloud,
                earlier,
            },
        ) => {
            let message = if earlier {
                format!("Signature expired: {request} is now earlier than {cloud} - 15 min.")
            } else {
                format!(
                    "Signature not yet current: {request} is still later than {cloud} + 15 min."
                )
            };
            AwsError::new(403, "SignatureDoesNotMatch", message)
        }
        (Service::S3, Refusal::PresignedExpired) => AwsError::access_denied("Request has expired"),
        (Service::Sts | Service::Iam, Refusal::PresignedExpired) => {
            AwsError::new(400, "RequestExpired", "Request has expired.")
        }
        (_, Refusal::UnsignedHeader(name)) => AwsError::access_denied(format!(
            "There were headers present in the request which were not signed: {name}"
        )),
    }
}
