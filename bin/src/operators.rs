//! The way to a running broker for those who operate it: its socket, which says what it did.

use core::time::Duration;
use std::path::PathBuf;

use jitney_api::{ANSWER_BYTES_MAX, Problem, ProblemCode};
use reqwest::{Method, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::configuration::Configuration;
use crate::failure::{Failure, REFUSED, UNREACHABLE, USAGE};

/// The longest wait for an answer. To look through an account of a thousand roles takes minutes.
const PATIENCE: Duration = Duration::from_secs(20 * 60);
/// A socket has no host; HTTP wants one.
const HOST: &str = "http://jitney";

/// A running broker, from the inside.
pub struct Operators {
    socket: PathBuf,
    http: reqwest::Client,
}

impl Operators {
    /// The broker of this configuration. It is not called yet.
    pub fn of(configuration: &Configuration) -> Result<Self, Failure> {
        let socket = configuration.admin_socket.clone();
        let http = reqwest::Client::builder()
            .unix_socket(socket.clone())
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .map_err(|error| Failure::internal(&error))?;
        Ok(Self { socket, http })
    }

    /// Asks for what is so.
    pub async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call(self.http.request(Method::GET, address(path)))
            .await
    }

    /// Asks for something to be done.
    pub async fn act<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.call(self.http.request(Method::POST, address(path)).json(body))
            .await
    }

    async fn call<T: DeserializeOwned>(&self, call: reqwest::RequestBuilder) -> Result<T, Failure> {
        let answer = call.send().await.map_err(|error| self.no_broker(&error))?;
        let success = answer.status().is_success();
        let body = self.read(answer).await?;
        if success {
            return serde_json::from_slice(&body).map_err(|error| self.not_understood(&error));
        }
        let problem = serde_json::from_slice(&body);
        Err(refused(
            problem.map_err(|error| self.not_understood(&error))?,
        ))
    }

    async fn read(&self, mut answer: Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|e| self.no_broker(&e))? {
            body.extend_from_slice(&piece);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(self.not_understood(&"it does not end"));
            }
        }
        Ok(body)
    }

    fn no_broker(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn core::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let told = format!(
            "no broker answers at the socket `{}` ({cause}): is it running, with this \
             configuration, and is this its user?",
            self.socket.display()
        );
        Failure::unreachable("no_broker", told)
    }

    fn not_understood(&self, error: &dyn core::fmt::Display) -> Failure {
        let told = format!(
            "what answers at the socket `{}` is not a broker of this version: {error}",
            self.socket.display()
        );
        Failure::unreachable("not_a_broker", told)
    }
}

fn address(path: &str) -> String {
    format!("{HOST}{path}")
}

fn refused(problem: Problem) -> Failure {
    let code = problem.known();
    let exit = match code {
        Some(ProblemCode::BadRequest) => USAGE,
        Some(ProblemCode::NotFound) => UNREACHABLE,
        Some(code) if code.worth_retrying() => UNREACHABLE,
        _ => REFUSED,
    };
    let code = code.map_or("refused", ProblemCode::as_str);
    Failure::new(exit, code, problem.detail)
}
