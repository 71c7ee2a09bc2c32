//! Notices sent to where projects have them sent: JSON by POST, signed as Standard Webhooks says.
//! Beside the requests, of which none waits for a receiver; each receiver has a round of its own,
//! so that a slow one holds no other.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderName, HeaderValue, header};
use ring::hmac;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fetch::{FetchError, Place, post_to};
use super::shutdown::Shutdown;
use crate::catalog::NoticeRow;
use crate::config::Config;
use crate::types::limits::WEBHOOK_ANSWER_BYTES_MAX;
use crate::types::{NoticeId, ProjectName, Timestamp};
use crate::vault::{EndingsSeen, SECRET_PREFIX, Vault, VaultError, Webhook};

/// How often it is looked whether something waits.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often it is looked what owners have to be told: within the minute of AZ-11.
const TELL_EVERY: Duration = Duration::from_secs(15);
/// After how long a receiver that took nothing is tried again, at first and at most.
const AGAIN_MIN: Duration = Duration::from_secs(5);
const AGAIN_MAX: Duration = Duration::from_mins(15);

/// Why a notice was not taken.
#[derive(Debug, thiserror::Error)]
enum Unsent {
    #[error("no notices are sent there")]
    Place(#[source] FetchError),
    #[error("the address is in a network that no notices are sent to ip={0}")]
    Network(IpAddr),
    #[error("the key of signatures is none")]
    Key,
    #[error("it does not answer")]
    Reach(#[source] FetchError),
    #[error("it answers status={0}")]
    Status(u16),
}

/// An address that notices may be sent to, as commands take it: what of it may be named in the log.
pub fn receiver(url: &str, private: bool) -> Result<String, &'static str> {
    const FORM: &str = "it is https://…, or http:// to this machine, without a name or password";
    let place = Place::of(url).map_err(|_no_place| FORM)?;
    if url.contains(['@', '#', '\\']) || url.contains(|c: char| c.is_control() || c == ' ') {
        return Err(FORM);
    }
    match place.host().parse() {
        Ok(ip) if !allowed(ip, place.is_local(), private) => {
            Err("it is in a network that no notices are sent to (`notices.private`)")
        }
        _ => Ok(place.origin()),
    }
}

/// Whether an address may be spoken to. This machine is spoken to where the URL itself names it,
/// networks within an organisation where the configuration says so, others that are not the
/// Internet never: what answers there (metadata of clouds, neighbours) believes who can reach it.
fn allowed(ip: IpAddr, local: bool, private: bool) -> bool {
    let ip = match ip {
        IpAddr::V6(six) => embedded(six).map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    };
    if local || ip.is_loopback() {
        return local && ip.is_loopback();
    }
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let special = a == 0
                || a >= 224
                || ip.is_link_local()
                || ip.is_documentation()
                || (a, b) == (192, 0)
                || a == 198 && (b == 18 || b == 19);
            !special && (private || !(ip.is_private() || shared))
        }
        IpAddr::V6(ip) => {
            let first = ip.segments()[0];
            let local = first & 0xfe00 == 0xfc00;
            // 2000::/3 is what is routed, 2001:db8::/32 of it an example.
            let routed = first & 0xe000 == 0x2000 && ip.segments()[..2] != [0x2001, 0xdb8];
            if local { private } else { routed }
        }
    }
}

/// The address of the old kind that one of the new kind stands for: mapped, translated, 6to4.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let words = ip.segments();
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match words {
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] if (high, low) > (0, 1) => of(high, low),
        [0x64, 0xff9b, .., high, low] | [0x2002, high, low, ..] => of(high, low),
        _ => None,
    }
}

/// What is sent: `{"type": "kluis.notice", "timestamp": …, "data": {…}}`.
fn body(notice: &NoticeRow) -> String {
    json!({
        "type": "kluis.notice",
        "timestamp": notice.at.to_string(),
        "data": {
            "notice": notice.id.to_string(),
            "project": notice.project.to_string(),
            "dataset": notice.dataset.as_ref().map(ToString::to_string),
            "to": notice.to.to_string(),
            "text": notice.text,
        },
    })
    .to_string()
}

/// The signature of a message: `v1,` and HMAC-SHA256 over its id, the time in seconds and its body
/// (Standard Webhooks, "Signature scheme").
fn signature(secret: &str, (id, seconds): (&str, u64), body: &str) -> Result<String, Unsent> {
    let key = secret.strip_prefix(SECRET_PREFIX).ok_or(Unsent::Key)?;
    let key = BASE64.decode(key.as_bytes()).map_err(|_none| Unsent::Key)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &zeroize::Zeroizing::new(key));
    let tag = hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
    Ok(format!("v1,{}", BASE64.encode(tag.as_ref())))
}

/// What sends.
pub(super) struct Sender {
    private: bool,
    ca_file: Option<PathBuf>,
}

impl Sender {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            private: config.notices.private,
            ca_file: config.notices.ca_file.clone(),
        }
    }

    async fn send(
        &self,
        webhook: &Webhook,
        notice: &NoticeRow,
        now: Timestamp,
    ) -> Result<(), Unsent> {
        let place = Place::of(webhook.url.expose()).map_err(Unsent::Place)?;
        let dial = place.dial(self.ca_file.as_deref()).map_err(Unsent::Place)?;
        let body = body(notice);
        let (id, seconds) = (notice.id.to_string(), now.seconds());
        let signed = signature(webhook.secret.expose(), (&id, seconds), &body)?;
        let mut headers = vec![(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )];
        for (name, value) in [
            ("webhook-id", id),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signed),
        ] {
            let value = HeaderValue::from_str(&value).map_err(|_no_value| Unsent::Key)?;
            headers.push((HeaderName::from_static(name), value));
        }
        // The very addresses that were judged are spoken to: a name may mean others a moment later.
        let found = place.addresses().await.map_err(Unsent::Reach)?;
        let refused = found.iter().map(std::net::SocketAddr::ip);
        let mut refused = refused.filter(|ip| !allowed(*ip, place.is_local(), self.private));
        if let Some(ip) = refused.next() {
            return Err(Unsent::Network(ip));
        }
        let wanted = (&headers[..], Bytes::from(body));
        let most = WEBHOOK_ANSWER_BYTES_MAX;
        let answer = post_to((&place, &found), dial.as_ref(), wanted, most).await;
        match answer.map_err(Unsent::Reach)? {
            (200..=299, _) => Ok(()),
            (status, _) => Err(Unsent::Status(status)),
        }
    }
}

/// Tells owners of stages of their datasets and of grants that are about to end.
pub(super) async fn tell(vault: Arc<Vault>, shutdown: Shutdown) {
    let mut seen = EndingsSeen::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(TELL_EVERY) => {}
            () = shutdown.draining() => return,
        }
        let now = vault.now();
        if let Err(error) = vault.run_stages(now).await {
            let reason = error.reason();
            tracing::warn!(reason, "stages of datasets were not logged");
        }
        if let Err(error) = vault.tell_endings(&mut seen, now).await {
            let reason = error.reason();
            tracing::warn!(reason, "ends of grants were not told");
        }
    }
}

/// When a receiver that took nothing is tried again.
struct Again {
    at: Instant,
    after: Duration,
}

/// Sends what waits, each project's in a round of its own.
pub(super) async fn push(vault: Arc<Vault>, sender: Arc<Sender>, shutdown: Shutdown) {
    let mut rounds: JoinSet<(ProjectName, Round)> = JoinSet::new();
    let mut busy: HashSet<ProjectName> = HashSet::new();
    let mut again: HashMap<ProjectName, Again> = HashMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = shutdown.draining() => return,
        }
        while let Some(Ok((project, round))) = rounds.try_join_next() {
            busy.remove(&project);
            let before = again.remove(&project);
            if let Err(stopped) = round {
                // Once for each outage.
                if before.is_none() {
                    stopped.tell();
                }
                let after = before.map_or(AGAIN_MIN, |before| before.after.saturating_mul(2));
                let after = after.min(AGAIN_MAX);
                let at = Instant::now() + after;
                again.insert(project, Again { at, after });
            }
        }
        // A round that panicked is none that runs.
        if rounds.is_empty() {
            busy.clear();
        }
        let waiting = match vault.waiting_pushes().await {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::warn!(reason = error.reason(), "notices wait");
                continue;
            }
        };
        again.retain(|project, _| waiting.contains(project));
        for project in waiting {
            let due = again
                .get(&project)
                .is_none_or(|again| again.at <= Instant::now());
            if due && busy.insert(project.clone()) {
                let (vault, sender) = (Arc::clone(&vault), Arc::clone(&sender));
                rounds.spawn(async move {
                    let round = round(&vault, &sender, &project).await;
                    (project, round)
                });
            }
        }
    }
}

/// What a round came to.
type Round = Result<(), Stopped>;

/// Why a round did not send all. The operator's log says it without the project's name, which the
/// vault's log has beside the notice's id.
#[derive(Debug)]
enum Stopped {
    /// The receiver did not take this one.
    Untaken(NoticeId),
    /// The vault itself does not go on, with this one or with any.
    Unable(Option<NoticeId>, VaultError),
}

impl Stopped {
    fn tell(&self) {
        match self {
            Self::Untaken(notice) => tracing::warn!(%notice, "the receiver of notices takes none"),
            Self::Unable(Some(notice), error) => {
                tracing::warn!(%notice, reason = error.reason(), "notices wait");
            }
            Self::Unable(None, error) => {
                tracing::warn!(reason = error.reason(), "notices wait");
            }
        }
    }
}

/// Sends what waits for one project's receiver.
async fn round(vault: &Vault, sender: &Sender, project: &ProjectName) -> Round {
    let found = vault.pushes(project).await;
    let (webhook, pushes) = found.map_err(|error| Stopped::Unable(None, error))?;
    let mut all = Ok(());
    for push in pushes {
        let id = push.notice.id;
        let trying = vault.begin_push(webhook.as_ref(), &push).await;
        let ended = match (trying, &webhook) {
            (Ok(Some(trying)), Some(webhook)) => {
                let sent = sender.send(webhook, &push.notice, vault.now()).await;
                if sent.is_err() {
                    all = Err(Stopped::Untaken(id));
                }
                // One that answers may take the next; one that does not would hold the round.
                let reached = matches!(sent, Ok(()) | Err(Unsent::Status(_)));
                let ended = vault.end_push(trying, sent).await;
                ended.map(|()| reached)
            }
            (Ok(_), _) => Ok(true),
            (Err(error), _) => Err(error),
        };
        match ended {
            Ok(true) => {}
            Ok(false) => return Err(Stopped::Untaken(id)),
            Err(error) => return Err(Stopped::Unable(Some(id), error)),
        }
    }
    all
}

#[cfg(test)]
#[path = "pushes_tests.rs"]
mod tests;
