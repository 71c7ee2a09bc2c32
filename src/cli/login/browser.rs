//! Where the person's browser comes back to: one address on this machine, for one answer (RFC 8252,
//! section 7.3).

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long a person may take.
const PERSON: Duration = Duration::from_mins(5);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(5);
/// What a request's head may be long.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const PATH: &str = "/callback";

/// The address, while it is open.
pub(super) struct Waiting(TcpListener);

impl Waiting {
    pub(super) async fn open() -> std::io::Result<Self> {
        TcpListener::bind(("127.0.0.1", 0)).await.map(Self)
    }

    /// Where the provider is to send the browser.
    pub(super) fn url(&self) -> std::io::Result<String> {
        let port = self.0.local_addr()?.port();
        Ok(format!("http://127.0.0.1:{port}{PATH}"))
    }

    /// The query that the browser came back with; `None` if it did not in time. Other requests
    /// (for an icon, by a scanner) are told that there is nothing.
    pub(super) async fn query(self) -> Option<String> {
        let waiting = async {
            loop {
                let Ok((mut line, _)) = self.0.accept().await else {
                    continue;
                };
                let head = timeout(REQUEST, head(&mut line)).await;
                let Ok(Some(target)) = head else {
                    continue;
                };
                let (path, query) = target.split_once('?').unwrap_or((&target, ""));
                let ours = path == PATH;
                let told = if ours {
                    (
                        "200 OK",
                        "You can close this page and go back to the terminal.",
                    )
                } else {
                    ("404 Not Found", "Nothing is here.")
                };
                let answer = format!(
                    "HTTP/1.1 {}\r\nContent-Type: text/plain; charset=utf-8\r\n\
                     Content-Length: {}\r\nConnection: close\r\nCache-Control: no-store\r\n\
                     Referrer-Policy: no-referrer\r\n\r\n{}",
                    told.0,
                    told.1.len(),
                    told.1
                );
                // A browser that does not wait for the words has come back all the same.
                let said = timeout(REQUEST, line.write_all(answer.as_bytes())).await;
                drop(said);
                if ours {
                    return query.to_owned();
                }
            }
        };
        timeout(PERSON, waiting).await.ok()
    }
}

/// The target of a GET.
async fn head(line: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 2048];
        let count = line
            .read(&mut piece)
            .await
            .ok()
            .filter(|count| *count > 0)?;
        head.extend_from_slice(piece.get(..count)?);
        if head.len() > HEAD_BYTES_MAX {
            return None;
        }
    }
    let text = std::str::from_utf8(&head).ok()?;
    let mut words = text.lines().next()?.split(' ');
    (words.next() == Some("GET")).then_some(())?;
    words.next().map(str::to_owned)
}
