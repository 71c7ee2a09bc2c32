//! The threads that serve connections: one for each core, each with a runtime of its own, so that a
//! request, its connection and its line to the store are woken where they are. What a runtime over
//! all cores spends on waking its other threads is a fifth of a small request (decision 50).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Who serves connections. Dropped, its threads end, and what still runs there is given up.
pub struct Crew {
    hands: Vec<Hand>,
}

struct Hand {
    runtime: Handle,
    /// Connections that it serves.
    load: Arc<AtomicUsize>,
    /// Dropped, it ends the thread.
    _end: oneshot::Sender<()>,
}

/// One of a hand's connections, until it ends.
struct Turn(Arc<AtomicUsize>);

impl Turn {
    fn begin(load: &Arc<AtomicUsize>) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hand {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name(format!("kluis-serve-{number}"))
            .spawn(move || {
                // Nobody sends: the sender's end is the word.
                let _over = runtime.block_on(ended).is_err();
                runtime.shutdown_background();
            })?;
        Ok(Self {
            runtime: handle,
            load: Arc::default(),
            _end: end,
        })
    }
}

impl Crew {
    /// A thread for each core that this process may use.
    pub fn of_cores() -> io::Result<Self> {
        let cores = std::thread::available_parallelism()?.get();
        let hands = (0..cores).map(Hand::start).collect::<io::Result<_>>()?;
        Ok(Self { hands })
    }

    /// Nobody: connections are served by the runtime that accepts them.
    #[must_use]
    pub const fn nobody() -> Self {
        Self { hands: Vec::new() }
    }

    /// Serves a connection on the thread that has the fewest.
    pub(super) fn serve<F>(
        &self,
        stream: TcpStream,
        serve: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let by_load = |hand: &&Hand| hand.load.load(Ordering::Relaxed);
        let Some(hand) = self.hands.iter().min_by_key(by_load) else {
            drop(tokio::spawn(serve(stream)));
            return;
        };
        let turn = Turn::begin(&hand.load);
        let moved = stream.into_std();
        drop(hand.runtime.spawn(async move {
            // Whose events a runtime is told of is settled where the socket is registered.
            match moved.and_then(TcpStream::from_std) {
                Ok(stream) => serve(stream).await,
                Err(error) => tracing::warn!(%error, "a connection could not be taken over"),
            }
            drop(turn);
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::thread::ThreadId;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;

    /// A connection, whose other end the crew has: it says on which thread, and stays until it is
    /// spoken to.
    async fn dial(crew: &Crew, tcp: &TcpListener, told: &mpsc::Sender<ThreadId>) -> TcpStream {
        let address = tcp.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), tcp.accept());
        let told = told.clone();
        crew.serve(far.unwrap().0, move |mut stream| async move {
            told.send(std::thread::current().id()).await.unwrap();
            let byte = stream.read_u8().await.unwrap();
            stream.write_u8(byte).await.unwrap();
        });
        near.unwrap()
    }

    #[tokio::test]
    async fn connections_are_spread_and_served_off_the_runtime_that_accepts() {
        let crew = Crew {
            hands: (0..3).map(|n| Hand::start(n).unwrap()).collect(),
        };
        let tcp = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (told, mut heard) = mpsc::channel(16);
        let mut lines = Vec::new();
        let mut threads: HashMap<ThreadId, usize> = HashMap::new();
        for _ in 0..9 {
            lines.push(dial(&crew, &tcp, &told).await);
            let thread = heard.recv().await.unwrap();
            assert_ne!(thread, std::thread::current().id());
            *threads.entry(thread).or_default() += 1;
        }
        assert_eq!(threads.values().copied().collect::<Vec<_>>(), [3, 3, 3]);
        // All but one end, and the next goes where none is left.
        let last = lines.pop().unwrap();
        for mut line in lines {
            line.write_u8(7).await.unwrap();
            assert_eq!(line.read_u8().await.unwrap(), 7);
            assert_eq!(line.read(&mut [0]).await.unwrap(), 0, "it has ended");
        }
        while crew
            .hands
            .iter()
            .map(|h| h.load.load(Ordering::Relaxed))
            .sum::<usize>()
            > 1
        {
            tokio::task::yield_now().await;
        }
        let _again = dial(&crew, &tcp, &told).await;
        heard.recv().await.unwrap();
        assert!(
            crew.hands
                .iter()
                .all(|h| h.load.load(Ordering::Relaxed) < 2)
        );
        drop(last);
    }

    #[tokio::test]
    async fn without_a_crew_the_runtime_serves_itself() {
        let crew = Crew::nobody();
        let tcp = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (told, mut heard) = mpsc::channel(16);
        let mut line = dial(&crew, &tcp, &told).await;
        assert_eq!(heard.recv().await.unwrap(), std::thread::current().id());
        line.write_u8(1).await.unwrap();
        assert_eq!(line.read_u8().await.unwrap(), 1);
    }

    #[tokio::test]
    async fn its_threads_end_with_it() {
        let crew = Crew {
            hands: vec![Hand::start(0).unwrap()],
        };
        let tcp = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (told, mut heard) = mpsc::channel(16);
        let mut line = dial(&crew, &tcp, &told).await;
        heard.recv().await.unwrap();
        drop(crew);
        // What runs there is given up: the line is cut and nothing is said.
        assert!(!matches!(line.read(&mut [0]).await, Ok(1..)));
    }
}
