//! Ends work that may take long, from outside: nothing new is begun, what is on its way is given
//! up, and what is there stays.

use tokio::sync::watch;

/// Ends the work of its [`Stop`]; dropping it does so as well.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// Ends it.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// Looked at between the steps of long work, and raced with each of them.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// What ends work, and what the work looks at.
    #[must_use]
    pub fn pair() -> (Stopper, Self) {
        let (sender, receiver) = watch::channel(false);
        (Stopper(sender), Self(receiver))
    }

    /// Whether the work is to end.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    pub(super) async fn raised(mut self) {
        // A dropped sender is an error here, and an end as well.
        let _ended = self.0.wait_for(|raised| *raised).await.is_ok();
    }
}
