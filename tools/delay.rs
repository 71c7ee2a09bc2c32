//! A store further away: TCP on loopback whose requests reach it so many milliseconds later, while
//! answers come back at once.
//!
//! ```text
//! delay HOST:PORT MILLISECONDS     prints the address that it listens on
//! ```
//!
//! What is sent keeps its order and its pace: many connections wait side by side, and none for
//! another. `tests/load/mounts.py` puts it before the store.

#![expect(
    clippy::print_stdout,
    reason = "a tool for measuring tells its address to who started it"
)]

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

const USAGE: &str = "delay HOST:PORT MILLISECONDS";

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Pieces of one connection that are on their way.
const PIECES: usize = 1_024;
const PIECE_BYTES: usize = 256 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [upstream, milliseconds] = words.as_slice() else {
        return Err(USAGE.into());
    };
    let delay = Duration::from_millis(milliseconds.parse()?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (near, _) = listener.accept().await?;
        let far = TcpStream::connect(upstream.as_str()).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        tokio::spawn(copy(near_read, far_write, delay));
        tokio::spawn(copy(far_read, near_write, Duration::ZERO));
    }
}

/// Copies until either side ends. What goes on after that is the other direction's.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    if delay.is_zero() {
        let mut buffer = vec![0; PIECE_BYTES];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if to
                .write_all(buffer.get(..count).unwrap_or_default())
                .await
                .is_err()
            {
                return;
            }
        }
        return;
    }
    let (sender, mut coming) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES);
    tokio::spawn(async move {
        while let Some((due, piece)) = coming.recv().await {
            sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; PIECE_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let piece = buffer.get(..count).unwrap_or_default().to_vec();
        if sender.send((Instant::now() + delay, piece)).await.is_err() {
            return;
        }
    }
}
