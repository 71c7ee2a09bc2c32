//! The token for the key service, kept alive while the gateway runs: a vault whose token has ended
//! does not open again. Read from its file each time, so that one that was replaced is taken up.

use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::shutdown::Shutdown;
use super::transit::{TransitError, ask};
use crate::config::Transit;

/// After a failure it is tried again.
const AGAIN: Duration = Duration::from_mins(1);
/// The least and the most between two renewals.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_hours(6);

#[derive(Deserialize)]
struct Answer {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    lease_duration: u64,
}

/// Renews the token; how long it lives from now on. One that has no end is no token to run with,
/// and cannot be renewed.
pub async fn renew_token(config: &Transit) -> Result<Duration, TransitError> {
    let body = Zeroizing::new(b"{}".to_vec());
    let answer = ask(config, "auth/token/renew-self", body).await?;
    let answer: Answer = serde_json::from_slice(&answer).map_err(|_other| TransitError::Answer)?;
    Ok(Duration::from_secs(answer.auth.lease_duration))
}

/// A third of what is left, within bounds.
fn pause(left: Duration) -> Duration {
    (left / 3).clamp(PAUSE_MIN, PAUSE_MAX)
}

/// Renews it until the end. A failure is told once, and when it is over.
pub(super) async fn keep_token(config: Transit, shutdown: Shutdown) {
    let mut failing = false;
    loop {
        let wait = match renew_token(&config).await {
            Ok(left) => {
                if failing {
                    tracing::info!("the key service's token is renewed again");
                }
                failing = false;
                pause(left)
            }
            Err(error) => {
                if !failing {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(
                        %error,
                        cause,
                        "the key service's token was not renewed: what is open stays open, and \
                         without a token that lives the vault does not open again"
                    );
                }
                failing = true;
                AGAIN
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.draining() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_renewed_well_before_its_end() {
        for (left, wait) in [(0, 1), (2, 1), (3600, 1200), (768 * 3600, 6 * 3600)] {
            assert_eq!(pause(Duration::from_secs(left)), Duration::from_secs(wait));
        }
    }

    #[test]
    fn what_is_no_renewal_is_none() {
        for text in [
            "{}",
            "[]",
            "{\"auth\":null}",
            "{\"auth\":{\"lease_duration\":-1}}",
        ] {
            assert!(serde_json::from_str::<Answer>(text).is_err(), "{text}");
        }
        let text = "{\"auth\":{\"lease_duration\":60,\"client_token\":\"x\"}}";
        let answer: Answer = serde_json::from_str(text).unwrap();
        assert_eq!(answer.auth.lease_duration, 60);
    }
}
