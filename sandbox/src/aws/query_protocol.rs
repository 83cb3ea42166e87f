//! The query protocol of STS and IAM: form parameters in, an XML result out.

use std::collections::BTreeMap;

use super::errors::AwsError;
use super::xml::Xml;
use crate::call::{Answer, Call, percent_decoded};

/// The most parameters one call may have.
const PARAMETERS_MAX: usize = 2_000;

/// The parameters of a call, or of one member of a list in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params {
    values: BTreeMap<String, String>,
}

impl Params {
    /// From the form body of a POST, or the query of a GET.
    pub(crate) fn of(call: &Call) -> Params {
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        let body = String::from_utf8_lossy(&call.body);
        let form = if call.method == http::Method::POST {
            &*body
        } else {
            call.query.as_str()
        };
        for part in form
            .split('&')
            .filter(|part| !part.is_empty())
            .take(PARAMETERS_MAX)
        {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            values.insert(form_decoded(key), form_decoded(value));
        }
        Params { values }
    }

    /// A parameter's value; an empty one counts as given.
    pub(crate) fn optional(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A parameter that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<&str, AwsError> {
        self.optional(name).ok_or_else(|| {
            let member = lower_first(name);
            AwsError::constraint(&member, "Member must not be null")
        })
    }

    /// A whole number within bounds.
    pub(crate) fn number(
        &self,
        name: &str,
        least: i64,
        most: i64,
    ) -> Result<Option<i64>, AwsError> {
        let Some(text) = self.optional(name) else {
            return Ok(None);
        };
        let member = lower_first(name);
        let number: i64 = text.parse().map_err(|_| {
            AwsError::new(
                400,
                "MalformedInput",
                format!("`{text}` is not a number (`{member}`)"),
            )
        })?;
        if number < least {
            let constraint = format!("Member must have value greater than or equal to {least}");
            return Err(AwsError::constraint(&member, &constraint));
        }
        if number > most {
            return Err(AwsError::constraint(
                &member,
                &format!("Member must have value less than or equal to {most}"),
            ));
        }
        Ok(Some(number))
    }

    /// A text whose length and characters are bounded.
    pub(crate) fn checked<'a>(
        &'a self,
        name: &str,
        shape: &Shape,
    ) -> Result<Option<&'a str>, AwsError> {
        self.optional(name)
            .map(|value| shape.check(&lower_first(name), value).map(|()| value))
            .transpose()
    }

    /// As [`Params::checked`], and it must be there.
    pub(crate) fn required_checked<'a>(
        &'a self,
        name: &str,
        shape: &Shape,
    ) -> Result<&'a str, AwsError> {
        let value = self.required(name)?;
        shape.check(&lower_first(name), value)?;
        Ok(value)
    }

    /// The members of a list of structures: `Tags.member.1.Key` and so on, in their order.
    pub(crate) fn members(&self, list: &str) -> Vec<Params> {
        let prefix = format!("{list}.member.");
        let mut members: BTreeMap<u32, Params> = BTreeMap::new();
        for (key, value) in &self.values {
            let Some((index, field)) = key
                .strip_prefix(&prefix)
                .map(|rest| rest.split_once('.').unwrap_or((rest, "")))
            else {
                continue;
            };
            if let Ok(index) = index.parse() {
                members
                    .entry(index)
                    .or_default()
                    .values
                    .insert(field.to_owned(), value.clone());
            }
        }
        members.into_values().collect()
    }

    /// The members of a list of plain values: `TransitiveTagKeys.member.1` and so on.
    pub(crate) fn texts(&self, list: &str) -> Vec<String> {
        self.members(list)
            .iter()
            .filter_map(|member| member.optional(""))
            .map(str::to_owned)
            .collect()
    }
}

fn form_decoded(text: &str) -> String {
    percent_decoded(&text.replace('+', " "))
}

fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}

/// The bounds of a text parameter.
pub(crate) struct Shape {
    pub(crate) least: usize,
    pub(crate) most: usize,
    pub(crate) allowed: fn(char) -> bool,
    /// As the service model writes it.
    pub(crate) pattern: &'static str,
}

impl Shape {
    pub(crate) fn check(&self, member: &str, value: &str) -> Result<(), AwsError> {
        let length = value.chars().count();
        if length < self.least {
            let constraint = format!(
                "Member must have length greater than or equal to {}",
                self.least
            );
            return Err(AwsError::constraint(member, &constraint));
        }
        if length > self.most {
            let constraint = format!(
                "Member must have length less than or equal to {}",
                self.most
            );
            return Err(AwsError::constraint(member, &constraint));
        }
        if !value.chars().all(self.allowed) {
            let constraint = format!(
                "Member must satisfy regular expression pattern: {}",
                self.pattern
            );
            return Err(AwsError::constraint(member, &constraint));
        }
        Ok(())
    }
}

/// `[\w+=,.@-]`: what names in IAM and STS are made of.
pub(crate) fn is_name_char(char: char) -> bool {
    char.is_ascii_alphanumeric() || "_+=,.@-".contains(char)
}

/// A service's namespace and the operation's answer.
pub(crate) fn answer(
    namespace: &str,
    action: &str,
    result: Option<&Xml>,
    request_id: &str,
) -> Answer {
    let mut xml = Xml::new();
    xml.root(&format!("{action}Response"), namespace, |xml| {
        if let Some(result) = result {
            xml.element(&format!("{action}Result"), |xml| xml.push(result));
        }
        xml.element("ResponseMetadata", |xml| xml.leaf("RequestId", request_id));
    });
    Answer::xml(200, "text/xml", xml.into_text()).with("x-amzn-requestid", request_id)
}
