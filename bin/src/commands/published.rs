//! What clouds find where the broker says that it is an issuer. The documents may be served from
//! elsewhere, and then somebody must have copied them after the last rotation.

use core::time::Duration;

use jitney_identity::assertions::{AssertionIssuer, DISCOVERY_PATH, KEY_SET_PATH};
use serde_json::Value;

/// How long the address may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest document that is looked at, in bytes.
const DOCUMENT_BYTES_MAX: usize = 100 * 1024;

/// What was found there.
#[derive(Debug, PartialEq, Eq)]
pub enum Published {
    /// What this broker would publish.
    AsHere,
    /// Something else.
    Otherwise(String),
    /// Nothing could be asked: clouds may be able to, from where they are.
    Unasked(String),
}

/// Looks where clouds look.
pub async fn look(issuer: &AssertionIssuer) -> Published {
    let keys = match issuer.key_set().await {
        Ok(keys) => keys,
        Err(error) => {
            return Published::Unasked(format!("its own keys are not to be had: {error}"));
        }
    };
    for (path, here) in [
        (DISCOVERY_PATH, issuer.discovery()),
        (KEY_SET_PATH, keys.as_str()),
    ] {
        let url = format!("{}{path}", issuer.url());
        let found = match fetch(&url).await {
            Ok(found) => found,
            Err(error) => return Published::Unasked(format!("`{url}`: {error}")),
        };
        let found = found.and_then(|body| serde_json::from_slice::<Value>(&body).ok());
        if found.is_none() || found != serde_json::from_str(here).ok() {
            return Published::Otherwise(url);
        }
    }
    Published::AsHere
}

/// The body of a good answer, unless it is too large.
async fn fetch(url: &str) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()?;
    let mut answer = client
        .get(url)
        .send()
        .await
        .map_err(reqwest::Error::without_url)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > DOCUMENT_BYTES_MAX {
            return Ok(None);
        }
    }
    Ok((answer.status() == reqwest::StatusCode::OK).then_some(body))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use jitney_identity::assertions::AssertionKey;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    fn issuer(url: &str) -> AssertionIssuer {
        let pem = AssertionKey::generate_pem().unwrap();
        let key = AssertionKey::from_pem(pem.as_bytes()).unwrap();
        AssertionIssuer::new(url, key, Vec::new()).unwrap()
    }

    /// Answers each call with the next of these.
    async fn answers(listener: TcpListener, answers: Vec<(u16, String)>) {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).await.unwrap();
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n");
            let answer = format!("{head}connection: close\r\n\r\n{body}");
            // Whoever has seen enough hangs up.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }

    #[tokio::test]
    async fn what_clouds_find_must_be_what_the_broker_signs_by() {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (ours, former) = (issuer(&url), issuer(&url));
        let discovery = (200, ours.discovery().to_owned());
        let (keys, former) = (
            ours.key_set().await.unwrap(),
            former.key_set().await.unwrap(),
        );
        let stale = (200, former);
        let large = (200, format!("{keys}{}", " ".repeat(200_000)));
        let serving = vec![
            discovery.clone(),
            (200, keys.clone()),
            discovery.clone(),
            stale,
            discovery.clone(),
            (404, keys),
            discovery,
            large,
            (200, "<html>".to_owned()),
        ];
        let serving = tokio::spawn(answers(listener, serving));
        assert_eq!(look(&ours).await, Published::AsHere);
        let set = format!("{url}/.well-known/jwks.json");
        for _ in 0..3 {
            assert_eq!(look(&ours).await, Published::Otherwise(set.clone()));
        }
        let first = format!("{url}/.well-known/openid-configuration");
        assert_eq!(look(&ours).await, Published::Otherwise(first));
        serving.await.unwrap();
        assert!(matches!(look(&ours).await, Published::Unasked(_)));
    }
}
