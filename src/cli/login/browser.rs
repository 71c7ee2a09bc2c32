//! Where the person's browser comes back to: one address on this machine, for one answer (RFC 8252,
//! section 7.3).

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a person may take.
const PERSON: Duration = Duration::from_mins(5);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(5);
/// What a request's head may be long.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Requests that are read at once.
const LINES_MAX: usize = 64;
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

    /// The first query that `is_ours` knows and that a browser came back with; `None` if none did
    /// in time. Other requests (for an icon, by a scanner, by another of this machine's accounts)
    /// are told that there is nothing: they do not end the waiting, and fewer than [`LINES_MAX`]
    /// at once do not hold it up.
    pub(super) async fn query(
        self,
        is_ours: impl Fn(&str) -> bool + Send + Sync,
    ) -> Option<String> {
        let waiting = async {
            let mut lines = JoinSet::new();
            loop {
                let query = tokio::select! {
                    Ok((line, _)) = self.0.accept(), if lines.len() < LINES_MAX => {
                        let _line = lines.spawn(asked(line));
                        continue;
                    }
                    Some(query) = lines.join_next() => query,
                };
                let Ok(Some((line, query))) = query else {
                    continue;
                };
                let ours = query.filter(|query| is_ours(query));
                tell(line, ours.is_some()).await;
                if ours.is_some() {
                    return ours;
                }
            }
        };
        timeout(PERSON, waiting).await.ok()?
    }
}

/// The query of a request to our path, and the line that waits for its answer; `None` if it did not
/// come in time.
async fn asked(mut line: TcpStream) -> Option<(TcpStream, Option<String>)> {
    let target = timeout(REQUEST, head(&mut line)).await.ok()??;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = (path == PATH).then(|| query.to_owned());
    Some((line, query))
}

/// Answers a request.
async fn tell(mut line: TcpStream, ours: bool) {
    let (status, words) = if ours {
        (
            "200 OK",
            "You can close this page and go back to the terminal.",
        )
    } else {
        (
            "404 Not Found",
            "Nothing is here that this sign-in waits for.",
        )
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\nCache-Control: no-store\r\n\
         Referrer-Policy: no-referrer\r\n\r\n{words}",
        words.len(),
    );
    // A browser that does not wait for the words has come back all the same.
    let said = timeout(REQUEST, line.write_all(answer.as_bytes())).await;
    drop(said);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a request, and gives back what it is told.
    async fn ask(url: &str, head: &str) -> String {
        let place = url.strip_prefix("http://").unwrap();
        let (address, _) = place.split_once('/').unwrap();
        let mut line = TcpStream::connect(address).await.unwrap();
        line.write_all(head.as_bytes()).await.unwrap();
        let mut told = String::new();
        line.read_to_string(&mut told).await.unwrap();
        told
    }

    fn get(target: &str) -> String {
        format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    }

    #[tokio::test]
    async fn what_is_not_of_this_sign_in_neither_ends_nor_holds_it_up() {
        let waiting = Waiting::open().await.unwrap();
        let url = waiting.url().unwrap();
        let address = url.strip_prefix("http://").unwrap();
        let (address, _) = address.split_once('/').unwrap();
        // Some who say nothing, and one who leaves in the middle.
        let mut silent = Vec::new();
        for _ in 0..LINES_MAX / 2 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut gone = TcpStream::connect(address).await.unwrap();
        gone.write_all(b"GET /callb").await.unwrap();
        drop(gone);
        let waits = tokio::spawn(waiting.query(|query| query == "state=ours"));
        for target in [
            "/",
            "/favicon.ico",
            "/callback",
            "/callback?state=other",
            "/callback?state=ours&x=1",
            "/other?state=ours",
        ] {
            assert!(ask(&url, &get(target)).await.contains("404"), "{target}");
        }
        let post = "POST /callback?state=ours HTTP/1.1\r\n\r\n";
        assert_eq!(ask(&url, post).await, "");
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(HEAD_BYTES_MAX));
        assert_eq!(ask(&url, &long).await, "");
        let began = tokio::time::Instant::now();
        let told = ask(&url, &get("/callback?state=ours")).await;
        assert!(told.contains("200") && told.contains("close this page"));
        assert!(
            began.elapsed() < REQUEST,
            "nobody who is silent holds it up"
        );
        assert_eq!(waits.await.unwrap().unwrap(), "state=ours");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_longer_than_a_person_takes() {
        let waiting = Waiting::open().await.unwrap();
        assert_eq!(waiting.query(|_any| true).await, None);
    }
}
