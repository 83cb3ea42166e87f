//! What a caller asks of `AssumeRole`, with every bound of the service model checked.

use crate::aws::directory::counted_length;
use crate::aws::errors::AwsError;
use crate::aws::evaluate::{Policy, PolicyKind};
use crate::aws::query_protocol::{Params, Shape, is_name_char};
use crate::aws::tags::Tags;

/// The shortest session, in seconds.
pub(crate) const DURATION_SECONDS_MIN: i64 = 900;
/// The longest session of any role, in seconds.
pub(crate) const DURATION_SECONDS_MAX: i64 = 43_200;
/// A session made by a session is never longer, in seconds; also what is given when nothing is asked.
pub(crate) const CHAINED_SECONDS_MAX: i64 = 3_600;
/// An inline session policy's and all session policies' characters.
pub(crate) const SESSION_POLICY_CHARACTERS_MAX: usize = 2_048;
/// Managed policies passed as session policies.
pub(crate) const POLICY_ARNS_MAX: usize = 10;
/// What policies and tags may take in the token. AWS does not publish its packed form; here every counted
/// character is one byte, which is stricter than AWS for long policies and about right for many tags.
pub(crate) const PACKED_BYTES_MAX: usize = 4_096;
/// The largest token, in bytes.
pub(crate) const TOKEN_BYTES_MAX: usize = 12_288;
/// The largest `MinimumSessionTokenSize`.
const MINIMUM_TOKEN_BYTES_MAX: i64 = 4_096;

const ROLE_ARN: Shape = Shape {
    least: 20,
    most: 2_048,
    allowed: is_text_char,
    pattern: r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD]+",
};
const SESSION_NAME: Shape = Shape {
    least: 2,
    most: 64,
    allowed: is_name_char,
    pattern: r"[\w+=,.@-]*",
};
const EXTERNAL_ID: Shape = Shape {
    least: 2,
    most: 1_224,
    allowed: is_external_id_char,
    pattern: r"[\w+=,.@:\/-]*",
};

fn is_text_char(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | '\u{85}') || (!char.is_control() && char >= ' ')
}

fn is_external_id_char(char: char) -> bool {
    is_name_char(char) || ":/".contains(char)
}

/// The parameters of `AssumeRole`.
pub(crate) struct Wanted {
    pub(crate) role_arn: String,
    pub(crate) session_name: String,
    pub(crate) duration_seconds: Option<i64>,
    pub(crate) external_id: Option<String>,
    pub(crate) source_identity: Option<String>,
    pub(crate) tags: Tags,
    /// In lower case.
    pub(crate) transitive_keys: Vec<String>,
    pub(crate) policy: Option<Policy>,
    pub(crate) policy_arns: Vec<String>,
    pub(crate) packed_bytes: usize,
    pub(crate) minimum_token_bytes: usize,
}

impl Wanted {
    pub(crate) fn read(params: &Params) -> Result<Wanted, AwsError> {
        if params.optional("SerialNumber").is_some() || params.optional("TokenCode").is_some() {
            return Err(AwsError::access_denied(
                "MultiFactorAuthentication failed with invalid MFA one time pass code.",
            ));
        }
        let tags = Tags::read(params)?;
        let policy_arns = read_policy_arns(params)?;
        let policy = read_policy(params)?;
        let minimum_token_bytes = params
            .number("MinimumSessionTokenSize", 0, MINIMUM_TOKEN_BYTES_MAX)?
            .unwrap_or(0);
        let mut wanted = Wanted {
            role_arn: params.required_checked("RoleArn", &ROLE_ARN)?.to_owned(),
            session_name: params
                .required_checked("RoleSessionName", &SESSION_NAME)?
                .to_owned(),
            duration_seconds: params.number(
                "DurationSeconds",
                DURATION_SECONDS_MIN,
                DURATION_SECONDS_MAX,
            )?,
            external_id: params
                .checked("ExternalId", &EXTERNAL_ID)?
                .map(str::to_owned),
            source_identity: params
                .checked("SourceIdentity", &SESSION_NAME)?
                .map(str::to_owned),
            transitive_keys: read_transitive_keys(params, &tags)?,
            tags,
            policy,
            policy_arns,
            packed_bytes: 0,
            minimum_token_bytes: usize::try_from(minimum_token_bytes).unwrap_or(0),
        };
        wanted.packed_bytes = wanted.pack()?;
        Ok(wanted)
    }

    /// What policies and tags take together, or a refusal.
    fn pack(&self) -> Result<usize, AwsError> {
        let policy = self
            .policy
            .as_ref()
            .map_or(0, |policy| policy.source().chars().count());
        let arns: usize = self.policy_arns.iter().map(String::len).sum();
        let tags: usize = self
            .tags
            .iter()
            .map(|(key, value)| key.len() + value.len() + 2)
            .sum();
        let counted = self
            .policy
            .as_ref()
            .map_or(0, |policy| counted_length(policy.source()));
        let packed = counted + arns + tags;
        if policy + arns > SESSION_POLICY_CHARACTERS_MAX {
            return Err(too_large(policy + arns, SESSION_POLICY_CHARACTERS_MAX));
        }
        if packed > PACKED_BYTES_MAX {
            return Err(too_large(packed, PACKED_BYTES_MAX));
        }
        Ok(packed)
    }

    /// `PackedPolicySize`: the share of the allowed space that is used, rounded up.
    pub(crate) fn packed_percent(&self) -> usize {
        (self.packed_bytes * 100).div_ceil(PACKED_BYTES_MAX)
    }
}

fn too_large(found: usize, allowed: usize) -> AwsError {
    let percent = (found * 100).div_ceil(allowed);
    AwsError::new(
        400,
        "PackedPolicyTooLarge",
        format!(
            "Serialized token too large for session: packed size is {percent}% of the allowed space"
        ),
    )
}

fn read_policy(params: &Params) -> Result<Option<Policy>, AwsError> {
    let Some(text) = params.optional("Policy") else {
        return Ok(None);
    };
    let length = text.chars().count();
    if length == 0 {
        return Err(AwsError::constraint(
            "policy",
            "Member must have length greater than or equal to 1",
        ));
    }
    if length > SESSION_POLICY_CHARACTERS_MAX {
        let constraint = format!(
            "Member must have length less than or equal to {SESSION_POLICY_CHARACTERS_MAX}"
        );
        return Err(AwsError::constraint("policy", &constraint));
    }
    Policy::parse(text, PolicyKind::Identity)
        .map(Some)
        .map_err(|malformed| AwsError::malformed_policy(malformed.to_string()))
}

fn read_policy_arns(params: &Params) -> Result<Vec<String>, AwsError> {
    let members = params.members("PolicyArns");
    if members.len() > POLICY_ARNS_MAX {
        let constraint = format!("Member must have length less than or equal to {POLICY_ARNS_MAX}");
        return Err(AwsError::constraint("policyArns", &constraint));
    }
    members
        .iter()
        .map(|member| member.required_checked("arn", &ROLE_ARN).map(str::to_owned))
        .collect()
}

fn read_transitive_keys(params: &Params, tags: &Tags) -> Result<Vec<String>, AwsError> {
    let keys = params.texts("TransitiveTagKeys");
    if keys.len() > crate::aws::tags::TAGS_MAX {
        return Err(AwsError::constraint(
            "transitiveTagKeys",
            "Member must have length less than or equal to 50",
        ));
    }
    match keys.iter().find(|key| !tags.contains(key)) {
        Some(key) => Err(AwsError::validation(format!(
            "The specified transitive tag key must be included in the requested tags: {key}"
        ))),
        None => Ok(keys.iter().map(|key| key.to_lowercase()).collect()),
    }
}
