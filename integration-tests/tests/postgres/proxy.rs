//! A network between a ledger and its server that loses what it is told to lose, around COMMIT.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use jitney_integration_tests::postgres::Server;
use jitney_ledger_postgres::PostgresOptions;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// COMMIT as it goes over the wire: a simple query.
const COMMIT: &[u8] = b"COMMIT\0";
/// The server's answer to it.
const COMMITTED: &[u8] = b"COMMIT\0";
const BYTES: usize = 64 * 1024;

/// What the network does to the next COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Loses {
    Nothing,
    /// COMMIT never reaches the server.
    Commit,
    /// The server commits, and nobody hears of it.
    Answer,
    /// The same, and then nobody reaches the server any more.
    AnswerAndEverything,
    Everything,
    /// COMMIT never reaches the server, and nobody hears that the connection is of no use any more.
    CommitInSilence,
}

impl Loses {
    const ALL: [Self; 6] = [
        Self::Nothing,
        Self::Commit,
        Self::Answer,
        Self::AnswerAndEverything,
        Self::Everything,
        Self::CommitInSilence,
    ];
}

#[derive(Debug)]
pub struct Network {
    port: u16,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    socket: PathBuf,
    loses: AtomicU8,
    lost: AtomicU32,
}

impl Network {
    pub async fn to(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            socket: server.socket_folder().join(".s.PGSQL.5432"),
            loses: AtomicU8::new(Loses::Nothing as u8),
            lost: AtomicU32::new(0),
        });
        tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let state = Arc::clone(&state);
                    tokio::spawn(async move { state.carry(client).await });
                }
            }
        });
        Self { port, state }
    }

    pub fn loses(&self, what: Loses) {
        self.state.loses.store(what as u8, Ordering::SeqCst);
    }

    /// How many times something was lost.
    pub fn lost(&self) -> u32 {
        self.state.lost.load(Ordering::SeqCst)
    }

    /// The same ledger, reached through this network.
    pub fn through(&self, options: &PostgresOptions) -> PostgresOptions {
        let url = format!("postgres://jitney@127.0.0.1:{}/postgres", self.port);
        PostgresOptions {
            url: url.try_into().unwrap(),
            ..options.clone()
        }
    }
}

impl State {
    fn next(&self) -> Loses {
        Loses::ALL[usize::from(self.loses.load(Ordering::SeqCst))]
    }

    fn becomes(&self, next: Loses) {
        self.loses.store(next as u8, Ordering::SeqCst);
        self.lost.fetch_add(1, Ordering::SeqCst);
    }

    /// Carries a connection until one side ends it, or it is lost.
    async fn carry(&self, mut client: TcpStream) -> Option<()> {
        if self.next() == Loses::Everything {
            return None;
        }
        let mut server = UnixStream::connect(&self.socket).await.ok()?;
        let (mut asked, mut answered) = (vec![0; BYTES], vec![0; BYTES]);
        loop {
            tokio::select! {
                count = some(&mut client, &mut asked) => {
                    let bytes = &asked[..count?];
                    if holds(bytes, COMMIT) {
                        self.commit(bytes, &mut server).await?;
                    }
                    server.write_all(bytes).await.ok()?;
                }
                count = some(&mut server, &mut answered) => {
                    client.write_all(&answered[..count?]).await.ok()?;
                }
            }
        }
    }

    /// Loses a COMMIT as it was told; nothing when the connection is lost with it.
    async fn commit(&self, bytes: &[u8], server: &mut UnixStream) -> Option<()> {
        match self.next() {
            Loses::Nothing | Loses::Everything => return Some(()),
            Loses::Commit => self.becomes(Loses::Nothing),
            Loses::CommitInSilence => {
                self.becomes(Loses::Nothing);
                std::future::pending::<()>().await;
            }
            Loses::Answer => {
                committed(bytes, server).await?;
                self.becomes(Loses::Nothing);
            }
            Loses::AnswerAndEverything => {
                committed(bytes, server).await?;
                self.becomes(Loses::Everything);
            }
        }
        None
    }
}

async fn committed(bytes: &[u8], server: &mut UnixStream) -> Option<()> {
    server.write_all(bytes).await.ok()?;
    let mut answer = vec![0; BYTES];
    let count = some(server, &mut answer).await?;
    assert!(
        holds(&answer[..count], COMMITTED),
        "the server did not commit"
    );
    Some(())
}

async fn some(from: &mut (impl AsyncRead + Unpin), bytes: &mut [u8]) -> Option<usize> {
    let count = from.read(bytes).await.ok()?;
    (count > 0).then_some(count)
}

fn holds(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|some| some == what)
}
