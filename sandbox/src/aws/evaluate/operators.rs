//! The condition operators: how one value of a policy is compared with one value of the request.

use std::cmp::Ordering;
use std::net::IpAddr;

use jiff::Timestamp;

use super::context::Context;
use super::pattern::{ArnPattern, Pattern, Variables, Wildcards};

/// What an operator compares, before negation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    StringEquals,
    StringEqualsIgnoreCase,
    StringLike,
    Numeric(Compare),
    Date(Compare),
    Bool,
    Binary,
    IpAddress,
    Arn,
    /// Whether the key is absent.
    Null,
}

/// How two ordered values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Compare {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Compare::Equal => ordering.is_eq(),
            Compare::Less => ordering.is_lt(),
            Compare::LessOrEqual => ordering.is_le(),
            Compare::Greater => ordering.is_gt(),
            Compare::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

/// Reads an operator's base name, as `StringNotLike`: what it tests and whether it is negated.
pub(crate) fn read_operator(name: &str) -> Option<(Test, bool)> {
    let plain = |test| Some((test, false));
    let negated = |test| Some((test, true));
    match name {
        "StringEquals" => plain(Test::StringEquals),
        "StringNotEquals" => negated(Test::StringEquals),
        "StringEqualsIgnoreCase" => plain(Test::StringEqualsIgnoreCase),
        "StringNotEqualsIgnoreCase" => negated(Test::StringEqualsIgnoreCase),
        "StringLike" => plain(Test::StringLike),
        "StringNotLike" => negated(Test::StringLike),
        "Bool" => plain(Test::Bool),
        "BinaryEquals" => plain(Test::Binary),
        "IpAddress" => plain(Test::IpAddress),
        "NotIpAddress" => negated(Test::IpAddress),
        "ArnEquals" | "ArnLike" => plain(Test::Arn),
        "ArnNotEquals" | "ArnNotLike" => negated(Test::Arn),
        "Null" => plain(Test::Null),
        _ => {
            let (test, comparison): (fn(Compare) -> Test, &str) = match name.strip_prefix("Numeric")
            {
                Some(rest) => (Test::Numeric, rest),
                None => (Test::Date, name.strip_prefix("Date")?),
            };
            match comparison {
                "Equals" => plain(test(Compare::Equal)),
                "NotEquals" => negated(test(Compare::Equal)),
                "LessThan" => plain(test(Compare::Less)),
                "LessThanEquals" => plain(test(Compare::LessOrEqual)),
                "GreaterThan" => plain(test(Compare::Greater)),
                "GreaterThanEquals" => plain(test(Compare::GreaterOrEqual)),
                _ => None,
            }
        }
    }
}

/// A policy's value, read once in the way its operator needs.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    Text(Pattern),
    /// `None`: not shaped like an ARN, so it matches nothing.
    Arn(Option<ArnPattern>),
    Raw(String),
}

impl Expected {
    pub(crate) fn read(test: Test, text: &str, variables: Variables) -> Expected {
        match test {
            Test::StringEquals => {
                Expected::Text(Pattern::parse(text, Wildcards::Literal, variables))
            }
            Test::StringEqualsIgnoreCase => {
                Expected::Text(Pattern::parse(text, Wildcards::Literal, variables))
            }
            Test::StringLike => Expected::Text(Pattern::parse(text, Wildcards::Active, variables)),
            Test::Arn => Expected::Arn(ArnPattern::parse(text, variables)),
            Test::Numeric(_)
            | Test::Date(_)
            | Test::Bool
            | Test::Binary
            | Test::IpAddress
            | Test::Null => Expected::Raw(text.to_owned()),
        }
    }

    /// Whether the request's value passes the test against this one. What cannot be read does not match.
    pub(crate) fn accepts(&self, test: Test, value: &str, context: &Context) -> bool {
        match self {
            Expected::Text(pattern) if test == Test::StringEqualsIgnoreCase => {
                pattern.matches_ignoring_case(value, context)
            }
            Expected::Text(pattern) => pattern.matches(value, context),
            Expected::Arn(pattern) => pattern
                .as_ref()
                .is_some_and(|pattern| pattern.matches(value, context)),
            Expected::Raw(expected) => accepts_raw(test, expected, value).unwrap_or(false),
        }
    }

    /// For `Null`: whether the policy asks for the key to be absent.
    pub(crate) fn asks_for_absence(&self) -> Option<bool> {
        match self {
            Expected::Raw(text) => text.to_lowercase().parse().ok(),
            Expected::Text(_) | Expected::Arn(_) => None,
        }
    }
}

fn accepts_raw(test: Test, expected: &str, value: &str) -> Option<bool> {
    match test {
        Test::Numeric(compare) => {
            let (value, expected): (f64, f64) = (value.parse().ok()?, expected.parse().ok()?);
            Some(compare.holds(value.partial_cmp(&expected)?))
        }
        Test::Date(compare) => Some(compare.holds(read_time(value)?.cmp(&read_time(expected)?))),
        Test::Bool => Some(value.eq_ignore_ascii_case(expected)),
        Test::Binary => Some(value == expected),
        Test::IpAddress => {
            let value: IpAddr = value.parse().ok()?;
            Some(Network::read(expected)?.contains(value))
        }
        Test::StringEquals
        | Test::StringEqualsIgnoreCase
        | Test::StringLike
        | Test::Arn
        | Test::Null => None,
    }
}

/// A time as policies write it: ISO 8601 (a date alone is its midnight), or seconds since 1970.
fn read_time(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).ok();
    }
    text.parse()
        .or_else(|_| format!("{text}T00:00:00Z").parse())
        .ok()
}

/// A network in CIDR form; an address alone is a network of one.
struct Network {
    address: u128,
    prefix_bits: u32,
    width_bits: u32,
}

impl Network {
    fn read(text: &str) -> Option<Network> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let (address, width_bits) = address_bits(address.parse().ok()?);
        let prefix_bits = prefix.unwrap_or(width_bits);
        (prefix_bits <= width_bits).then_some(Network {
            address,
            prefix_bits,
            width_bits,
        })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let (address, width_bits) = address_bits(address);
        let shift = self.width_bits - self.prefix_bits;
        width_bits == self.width_bits
            && address.checked_shr(shift).unwrap_or(0)
                == self.address.checked_shr(shift).unwrap_or(0)
    }
}

fn address_bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    }
}
