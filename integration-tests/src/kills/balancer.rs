//! What stands before several brokers, as a load balancer does: each connection goes to the next
//! broker that takes it.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Something that stands before brokers. Dropped, it is gone.
#[derive(Debug)]
pub struct Balancer {
    url: String,
    listener: Option<TcpListener>,
    serving: Option<JoinHandle<()>>,
}

impl Balancer {
    /// Takes an address, and nothing else yet.
    pub async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        Self {
            url: format!("http://{address}"),
            listener: Some(listener),
            serving: None,
        }
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Takes connections for these brokers.
    pub fn stand_before(&mut self, brokers: Vec<SocketAddr>) {
        let listener = self.listener.take().expect("it stands before nobody yet");
        self.serving = Some(tokio::spawn(async move {
            let mut turns = brokers.into_iter().cycle();
            while let Ok((client, _)) = listener.accept().await {
                if let (Some(first), Some(second)) = (turns.next(), turns.next()) {
                    // One ahead, so that the next connection begins with the other broker.
                    turns.next();
                    tokio::spawn(pass_on(client, [first, second]));
                }
            }
        }));
    }
}

async fn pass_on(mut client: TcpStream, brokers: [SocketAddr; 2]) {
    for broker in brokers {
        if let Ok(mut broker) = TcpStream::connect(broker).await {
            let _ = tokio::io::copy_bidirectional(&mut client, &mut broker).await;
            return;
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}
