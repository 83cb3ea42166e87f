//! A relay on loopback between an adapter and its cloud, which can do what networks do: lose an
//! answer, carry a request out late, or answer in the cloud's place. It understands as much of
//! HTTP/1.1 as it must to tell one request from the next.

use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{StageClock, SystemClock};

/// The largest request that is relayed, in bytes.
const REQUEST_BYTES_MAX: usize = 256 * 1024;

/// How often the relay looks at its clock while it keeps a request back.
const CLOCK_LOOK: Duration = Duration::from_millis(5);

/// What the relay does to one request.
#[derive(Debug, Clone)]
pub enum Meddling {
    /// It is carried out; the connection is cut instead of answered.
    LoseAnswer,
    /// The connection is cut at once; it is carried out this much later by the relay's clock.
    CarryOutLate(Duration),
    /// It is answered so, and never carried out.
    AnswerInstead {
        /// The status line's number and words: `503 Service Unavailable`.
        status: &'static str,
        /// The content type.
        content_type: &'static str,
        /// The body.
        body: String,
    },
}

type Armed = Arc<Mutex<Vec<(String, Meddling)>>>;

/// A running relay. Dropping it stops it.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    armed: Armed,
    serving: JoinHandle<()>,
}

impl Relay {
    /// Relays to an address on loopback.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn to(cloud: SocketAddr) -> io::Result<Self> {
        Self::by_clock(cloud, Arc::new(SystemClock)).await
    }

    /// The same, by a stage's clock.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn by_clock(cloud: SocketAddr, clock: Arc<dyn StageClock>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let armed = Armed::default();
        let shared = Arc::clone(&armed);
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (armed, clock) = (Arc::clone(&shared), Arc::clone(&clock));
                tokio::spawn(serve(client, cloud, armed, clock));
            }
        });
        Ok(Self {
            address,
            armed,
            serving,
        })
    }

    /// Where it listens, as `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Meddles with the next request that has `needle` in its first line, its headers or its body.
    pub fn meddle(&self, needle: &str, meddling: Meddling) {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        armed.push((needle.to_owned(), meddling));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Serves one connection: one request, and the end. Whoever comes again connects again.
async fn serve(mut client: TcpStream, cloud: SocketAddr, armed: Armed, clock: Arc<dyn StageClock>) {
    let Ok(Some(request)) = read_request(&mut client).await else {
        return;
    };
    let answer = match take(&armed, &request) {
        None => carry_out(cloud, request).await,
        Some(Meddling::LoseAnswer) => {
            let _ = carry_out(cloud, request).await;
            return;
        }
        Some(Meddling::CarryOutLate(after)) => {
            drop(client);
            let due = clock.now().plus(after);
            while clock.now() < due {
                tokio::time::sleep(CLOCK_LOOK).await;
            }
            let _ = carry_out(cloud, request).await;
            return;
        }
        Some(Meddling::AnswerInstead {
            status,
            content_type,
            body,
        }) => Ok(format!(
            "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()),
    };
    if let Ok(answer) = answer {
        let _ = client.write_all(&answer).await;
        let _ = client.shutdown().await;
    }
}

fn take(armed: &Armed, request: &[u8]) -> Option<Meddling> {
    let mut armed = armed.lock().unwrap_or_else(PoisonError::into_inner);
    let has = |needle: &str| {
        request
            .windows(needle.len().max(1))
            .any(|part| part == needle.as_bytes())
    };
    let at = armed.iter().position(|(needle, _)| has(needle))?;
    Some(armed.remove(at).1)
}

/// Reads one whole request. Nothing when the client had none to send.
async fn read_request(client: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut request = Vec::new();
    let mut part = [0_u8; 8_192];
    loop {
        if let Some(length) = whole_length(&request)
            && request.len() >= length
        {
            return Ok(Some(request));
        }
        let read = client.read(&mut part).await?;
        if read == 0 {
            return Ok(None);
        }
        request.extend(part.iter().take(read));
        if request.len() > REQUEST_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// How long the request is, once its headers are there.
fn whole_length(request: &[u8]) -> Option<usize> {
    let head = request.windows(4).position(|part| part == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(request.get(..head)?).to_ascii_lowercase();
    let body = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(Some(0), |length| length.trim().parse::<usize>().ok())?;
    head.checked_add(4)?.checked_add(body)
}

/// Sends a request on and reads the answer to its end. The cloud is asked to close the connection,
/// so that the end is plain; that header is in no signature.
async fn carry_out(cloud: SocketAddr, request: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut upstream = TcpStream::connect(cloud).await?;
    let first_line = request.windows(2).position(|part| part == b"\r\n");
    let at = first_line.map_or(0, |at| at.saturating_add(2));
    let (line, rest) = request.split_at(at.min(request.len()));
    upstream.write_all(line).await?;
    upstream.write_all(b"connection: close\r\n").await?;
    upstream.write_all(rest).await?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_request_is_whole_when_its_body_is() {
        assert_eq!(whole_length(b"GET / HTTP/1.1\r\nhost: a\r\n"), None);
        assert_eq!(whole_length(b"GET / HTTP/1.1\r\n\r\n"), Some(18));
        let post = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na";
        assert_eq!(whole_length(post), Some(post.len() + 2));
        assert_eq!(
            whole_length(b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"),
            None
        );
    }

    #[test]
    fn meddling_is_for_one_request_and_only_for_the_one_that_is_meant() {
        let armed = Armed::default();
        armed
            .lock()
            .unwrap()
            .push(("Action=AssumeRole".to_owned(), Meddling::LoseAnswer));
        assert!(take(&armed, b"Action=GetCallerIdentity").is_none());
        assert!(take(&armed, b"x&Action=AssumeRole&y").is_some());
        assert!(take(&armed, b"x&Action=AssumeRole&y").is_none());
    }
}
