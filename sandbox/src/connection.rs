//! Connections that can be cut from inside a handler.
//!
//! An HTTP handler can only answer. To lose an answer the connection under it has to break, so each accepted
//! stream carries a switch that the handler holds as well.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// How long to wait after a failed accept, so that a full file table does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener whose connections can be cut.
pub(crate) struct CuttableListener {
    listener: TcpListener,
}

impl CuttableListener {
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<CuttableListener> {
        Ok(CuttableListener {
            listener: TcpListener::bind(address).await?,
        })
    }
}

/// The handler's end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) peer: SocketAddr,
    cut: Arc<AtomicBool>,
}

impl Wire {
    /// Breaks the connection: whatever the handler returns is not sent.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }
}

pub(crate) struct CuttableStream {
    stream: TcpStream,
    cut: Arc<AtomicBool>,
}

impl CuttableStream {
    /// A stream that was accepted, and the switch that cuts it.
    pub(crate) fn accepted(stream: TcpStream) -> io::Result<(CuttableStream, Wire)> {
        // Answers are small and written at once: waiting to fill a packet only costs time.
        stream.set_nodelay(true)?;
        let cut = Arc::<AtomicBool>::default();
        let wire = Wire {
            peer: stream.peer_addr()?,
            cut: Arc::clone(&cut),
        };
        Ok((CuttableStream { stream, cut }, wire))
    }

    fn check(&self) -> io::Result<()> {
        if self.cut.load(Ordering::SeqCst) {
            Err(io::ErrorKind::ConnectionReset.into())
        } else {
            Ok(())
        }
    }
}

impl Listener for CuttableListener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CuttableStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    // Answers are small and written at once: waiting to fill a packet only costs time.
                    let _ = stream.set_nodelay(true);
                    return (
                        CuttableStream {
                            stream,
                            cut: Arc::default(),
                        },
                        peer,
                    );
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Wire {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Wire {
        Wire {
            peer: *stream.remote_addr(),
            cut: Arc::clone(&stream.io().cut),
        }
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}
