//! The adapter before a store that lies, stalls and breaks: a scripted TCP server.

mod admin;
mod get;
mod locked;
mod put;
mod tls;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::{S3Store, S3StoreConfig};
use crate::store::contract::{CountingEntropy, FixedClock};
use crate::types::{BlobId, SecretText};

const ID: BlobId = BlobId::from_bytes([0xab; 16]);

/// What the server does on a connection, step by step; then it closes it.
#[derive(Debug, Clone)]
enum Step {
    /// Reads the head of a request and remembers it.
    Head,
    /// Reads this many bytes of a body and remembers them.
    Body(usize),
    /// Reads until the client closes, and remembers all of it.
    ToEnd,
    Send(Vec<u8>),
    /// Sends the same bytes again and again until the client closes.
    Flood(Vec<u8>),
    /// Sends nothing until the client closes.
    Hang,
    /// Neither reads nor sends.
    Deaf,
    /// Sends a byte from time to time until the client closes.
    Drip(Vec<u8>),
    /// Ends the connection with a reset.
    Reset,
}

fn send(text: &str) -> Step {
    Step::Send(text.as_bytes().to_vec())
}

/// A server of which connection n follows script n; beyond the scripts nobody listens.
struct Server {
    endpoint: String,
    /// What was read on each connection, in order of acceptance.
    seen: Arc<Mutex<Vec<String>>>,
    running: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Server {
    fn start(scripts: Vec<Vec<Step>>) -> Self {
        // The system must not swallow a body that a script does not read.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(16).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(vec![String::new(); scripts.len()]));
        let log = Arc::clone(&seen);
        let running = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            for (n, script) in scripts.into_iter().enumerate() {
                let (tcp, _) = listener.accept().await.unwrap();
                let log = Arc::clone(&log);
                connections.spawn(follow(script, tcp, move |text: &[u8]| {
                    log.lock().unwrap()[n].push_str(&String::from_utf8_lossy(text));
                }));
            }
            drop(listener);
            connections.join_all().await;
        });
        Self {
            endpoint,
            seen,
            running,
        }
    }

    /// A patient store over this server, without retries.
    fn config(&self) -> S3StoreConfig {
        let secret = SecretText::new("secret".to_owned());
        let (bucket, key) = ("vault".to_owned(), "key".to_owned());
        let mut config = S3StoreConfig::new(self.endpoint.clone(), bucket, key, secret);
        config.retries = 0;
        config
    }

    /// The same without patience, for what is to time out.
    fn impatient(&self) -> S3StoreConfig {
        let mut config = self.config();
        config.header_timeout = Duration::from_millis(200);
        config.idle_timeout = Duration::from_millis(200);
        config
    }

    fn store(&self, retries: u32) -> S3Store {
        let mut config = self.config();
        config.retries = retries;
        open(&config)
    }

    fn seen(&self, n: usize) -> String {
        self.seen.lock().unwrap()[n].clone()
    }

    /// How many connections sent anything.
    fn used(&self) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|text| !text.is_empty()).count()
    }
}

fn open(config: &S3StoreConfig) -> S3Store {
    let entropy = Arc::new(CountingEntropy::default());
    S3Store::open(config, Arc::new(FixedClock), entropy).unwrap()
}

async fn follow(script: Vec<Step>, mut tcp: TcpStream, log: impl Fn(&[u8]) + Send + Sync) {
    tcp.set_nodelay(true).unwrap();
    for step in script {
        // An error means that the client has cut the connection: the script is over.
        let done = match step {
            Step::Head => head(&mut tcp, &log).await,
            Step::Body(bytes) => {
                let mut body = vec![0; bytes];
                let read = tcp.read_exact(&mut body).await;
                log(&body);
                read.map(|_| ())
            }
            Step::ToEnd => {
                let mut rest = Vec::new();
                let read = tcp.read_to_end(&mut rest).await;
                log(&rest);
                read.map(|_| ())
            }
            Step::Send(bytes) => tcp.write_all(&bytes).await,
            Step::Flood(bytes) => loop {
                if let Err(e) = tcp.write_all(&bytes).await {
                    break Err(e);
                }
            },
            Step::Hang => tcp.read_to_end(&mut Vec::new()).await.map(|_| ()),
            Step::Deaf => std::future::pending().await,
            Step::Drip(bytes) => {
                for byte in bytes.iter().cycle() {
                    if tcp.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Ok(())
            }
            Step::Reset => {
                tcp.set_zero_linger().unwrap();
                return;
            }
        };
        if done.is_err() {
            return;
        }
    }
}

async fn head(tcp: &mut TcpStream, log: &(impl Fn(&[u8]) + Sync)) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await?);
    }
    log(&head);
    Ok(())
}
