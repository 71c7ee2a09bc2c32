//! The scope of one request: its event, its beginning, where it came from, who it turned out to
//! be, and whether the log has it.
//!
//! The scope is made before the library sees the request, and travels with it. **No answer leaves
//! before a record of its request is durable**: what no use case recorded (a wrong signature, an
//! unknown operation, XML that cannot be read) the edge records itself.

use std::collections::HashSet;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use http::{HeaderMap, Uri, header};

use super::room::{Caller, Full, Place, Room};
use super::watch::Watch;
use crate::api::Api;
use crate::catalog::CorsRule;
use crate::ledger::{AuthMethod, Nature, Session};
use crate::types::{AccessKeyId, EventId, PrincipalId, SecretText, Timestamp};
use crate::vault::{Bounds, Call, CorsAsk, Turned, Vault, VaultError};

/// The client's own name is cut to so many bytes.
const USER_AGENT_BYTES_MAX: usize = 256;
/// Sessions remembered, so that the requests of one client share one.
const SESSIONS_MAX: usize = 4_096;

/// What the edge needs to record a request by itself.
#[async_trait]
pub(super) trait Recorder: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Whose a bucket is whose name says no project.
    fn default_project(&self) -> String;
    /// A fresh event.
    fn new_event(&self) -> Result<EventId, VaultError>;
    /// Counts an attempt to be somebody that failed.
    fn failed(&self, client: Option<IpAddr>);
    /// Makes the record of a request that no use case recorded durable.
    async fn record(&self, call: &Call, turned: Turned<'_>) -> Result<(), VaultError>;
    /// Decides about a browser's question; its record is durable when it returns.
    async fn preflight(
        &self,
        call: &Call,
        bucket: &str,
        ask: CorsAsk<'_>,
    ) -> Result<CorsRule, VaultError>;
    /// The rule by which a page may read an answer.
    async fn cors(&self, bucket: &str, ask: CorsAsk<'_>) -> Result<Option<CorsRule>, VaultError>;
}

#[async_trait]
impl Recorder for Vault {
    fn now(&self) -> Timestamp {
        Self::now(self)
    }

    fn default_project(&self) -> String {
        Self::default_project(self).to_string()
    }

    fn new_event(&self) -> Result<EventId, VaultError> {
        Self::new_event(self)
    }

    fn failed(&self, client: Option<IpAddr>) {
        self.note_failed_attempt(client);
    }

    async fn record(&self, call: &Call, turned: Turned<'_>) -> Result<(), VaultError> {
        self.record_turned(call, turned).await
    }

    async fn preflight(
        &self,
        call: &Call,
        bucket: &str,
        ask: CorsAsk<'_>,
    ) -> Result<CorsRule, VaultError> {
        Self::preflight(self, call, bucket, ask).await
    }

    async fn cors(&self, bucket: &str, ask: CorsAsk<'_>) -> Result<Option<CorsRule>, VaultError> {
        Self::cors(self, bucket, ask).await
    }
}

/// The sessions of late, so that equal ones are one, and who was recognised among them.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Late>);

#[derive(Default)]
struct Late {
    sessions: HashSet<Arc<Session>>,
    /// Credentials that were proved, and the addresses they came from. Apart from the sessions, of
    /// which anybody makes as many as he likes: a user agent is part of one.
    recognised: HashSet<(AccessKeyId, String)>,
}

impl Sessions {
    fn late(&self) -> MutexGuard<'_, Late> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this credential was proved from this address of late.
    fn knows(&self, key: &AccessKeyId, client_ip: &str) -> bool {
        let who = (key.clone(), client_ip.to_owned());
        self.late().recognised.contains(&who)
    }

    /// The shared copy of a session.
    fn share(&self, session: Session) -> Arc<Session> {
        let mut late = self.late();
        if let Some(found) = late.sessions.get(&session) {
            return Arc::clone(found);
        }
        if late.sessions.len() >= SESSIONS_MAX {
            late.sessions.clear();
        }
        if let (Some(_proved), Some(key)) = (&session.principal, &session.access_key) {
            let who = (key.clone(), session.client_ip.clone());
            if late.recognised.len() >= SESSIONS_MAX && !late.recognised.contains(&who) {
                late.recognised.clear();
            }
            late.recognised.insert(who);
        }
        let session = Arc::new(session);
        late.sessions.insert(Arc::clone(&session));
        session
    }
}

/// Whose credential a request names; not yet proved.
pub(super) struct Claim {
    /// The credential.
    pub(super) key: AccessKeyId,
    /// Whose it is.
    pub(super) principal: PrincipalId,
    /// The person a workload acts for.
    pub(super) responsible: Option<PrincipalId>,
    /// What a session is bound to.
    pub(super) bounds: Option<Arc<Bounds>>,
}

struct State {
    operation: &'static str,
    claim: Option<Claim>,
    proved: bool,
    served: bool,
    /// The room that its body takes.
    place: Option<Place>,
    /// There was none.
    crowded: bool,
}

/// Where a request comes from and by which gateway it came in.
pub(super) struct Origin {
    client_ip: String,
    user_agent: String,
    auth: AuthMethod,
    source: Arc<str>,
    token: Option<SecretText>,
    bearer: Option<SecretText>,
}

impl Origin {
    /// Reads it from a request's parts. A bearer credential is taken out of them.
    pub(super) fn of(parts: &mut http::request::Parts, source: &Arc<str>) -> Self {
        let peer = parts.extensions.get::<SocketAddr>();
        Self {
            client_ip: peer.map_or_else(String::new, |peer| peer.ip().to_canonical().to_string()),
            user_agent: user_agent(&parts.headers),
            auth: auth_method(&parts.uri),
            source: Arc::clone(source),
            token: session_token(&parts.headers, &parts.uri),
            bearer: bearer(parts),
        }
    }
}

/// One request on its way through the edge.
pub(super) struct Scope {
    event: EventId,
    time: Timestamp,
    origin: Origin,
    sessions: Arc<Sessions>,
    watch: Arc<Watch>,
    recorded: Arc<AtomicBool>,
    state: Mutex<State>,
}

impl Scope {
    /// Begins a request.
    pub(super) fn begin(
        recorder: &dyn Recorder,
        operation: &'static str,
        origin: Origin,
        sessions: &Arc<Sessions>,
        watch: &Arc<Watch>,
    ) -> Result<Arc<Self>, VaultError> {
        Ok(Arc::new(Self {
            event: recorder.new_event()?,
            time: recorder.now(),
            origin,
            sessions: Arc::clone(sessions),
            watch: Arc::clone(watch),
            recorded: Arc::new(AtomicBool::new(false)),
            state: Mutex::new(State {
                operation,
                claim: None,
                proved: false,
                served: false,
                place: None,
                crowded: false,
            }),
        }))
    }

    /// The request's name in the log.
    pub(super) const fn event(&self) -> EventId {
        self.event
    }

    /// What is seen of its body.
    pub(super) const fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Notes whose credential the request names.
    pub(super) fn claim(&self, claim: Claim) {
        self.state().claim = Some(claim);
    }

    /// Notes that the signature of the claimed credential was right; `false` if this is another.
    pub(super) fn prove(&self, access_key: &str) -> bool {
        let mut state = self.state();
        let same = state
            .claim
            .as_ref()
            .is_some_and(|c| c.key.as_str() == access_key);
        state.proved = same;
        same
    }

    /// The session's token that came with the request.
    pub(super) fn token(&self) -> Option<&str> {
        self.origin.token.as_ref().map(SecretText::expose)
    }

    /// Whether a credential was proved from this address of late.
    pub(super) fn was_recognised(&self, key: &AccessKeyId) -> bool {
        self.sessions.knows(key, &self.origin.client_ip)
    }

    /// Whether a credential was claimed and not proved.
    pub(super) fn is_unproved(&self) -> bool {
        let state = self.state();
        state.claim.is_some() && !state.proved
    }

    /// The bearer credential that came with the request, for what is served by one.
    pub(super) fn bearer(&self) -> Option<SecretText> {
        self.origin.bearer.as_ref().map(SecretText::duplicate)
    }

    /// The peer's address, where there is one.
    pub(super) fn client(&self) -> Option<IpAddr> {
        self.origin.client_ip.parse().ok()
    }

    /// Who answers for the request as far as it is proved, else where it comes from.
    pub(super) fn caller(&self) -> Caller {
        let state = self.state();
        let proved = state.claim.as_ref().filter(|_| state.proved);
        let person = proved.map(|claim| claim.responsible.as_ref().unwrap_or(&claim.principal));
        match person {
            Some(person) => Caller::Person(person.clone()),
            None => Caller::peer(self.client()),
        }
    }

    /// Takes room for bytes of the body until the request is over.
    pub(super) fn house(&self, room: &Arc<Room>, bytes: usize) -> Result<(), Full> {
        let caller = self.caller();
        let mut state = self.state();
        let place = state.place.get_or_insert_with(|| room.place(caller));
        let grown = place.grow(bytes);
        state.crowded |= grown.is_err();
        grown
    }

    /// Whether there was no room for its body.
    pub(super) fn is_crowded(&self) -> bool {
        self.state().crowded
    }

    /// Whether a token came with a credential that is no session's.
    pub(super) fn has_stray_token(&self) -> bool {
        let of_session = |claim: &Claim| !Vault::can_be_guessed(&claim.key);
        self.origin.token.is_some() && !self.state().claim.as_ref().is_some_and(of_session)
    }

    /// Notes which operation it is.
    pub(super) fn name(&self, operation: &'static str) {
        self.state().operation = operation;
    }

    /// Which operation it is, as far as it is known.
    pub(super) fn operation(&self) -> &'static str {
        self.state().operation
    }

    /// Whether an operation's handler has begun.
    pub(super) fn is_served(&self) -> bool {
        self.state().served
    }

    /// Whether a record of the request stands in the log.
    pub(super) fn is_recorded(&self) -> bool {
        self.recorded.load(Ordering::Acquire)
    }

    /// Begins the use case: the request as the vault knows it.
    pub(super) fn serve(&self) -> Call {
        self.state().served = true;
        self.call()
    }

    /// The request as the vault knows it.
    pub(super) fn call(&self) -> Call {
        let state = self.state();
        let claim = state.claim.as_ref();
        let proved = claim.filter(|_| state.proved);
        let session = Session {
            principal: proved.map(|c| c.principal.clone()),
            responsible: proved.and_then(|c| c.responsible.clone()),
            access_key: claim.map(|c| c.key.clone()),
            auth: if state.proved {
                self.origin.auth
            } else {
                AuthMethod::None
            },
            client_ip: self.origin.client_ip.clone(),
            user_agent: self.origin.user_agent.clone(),
            source: self.origin.source.to_string(),
        };
        Call {
            session: self.sessions.share(session),
            event: self.event,
            time: self.time,
            operation: state.operation,
            nature: Nature::Normal,
            bounds: proved.and_then(|c| c.bounds.clone()),
            recorded: Arc::clone(&self.recorded),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

tokio::task_local! {
    /// The scope of the request that this task serves.
    ///
    /// Only for the look-up of a credential: there the library hands over the access key's id
    /// and nothing else of the request.
    static CURRENT: Arc<Scope>;
}

/// Runs `future` as part of `scope`.
pub(super) fn within<F: Future>(
    scope: Arc<Scope>,
    future: F,
) -> impl Future<Output = F::Output> + use<F> {
    CURRENT.scope(scope, future)
}

/// The scope of the request that this task serves.
pub(super) fn current() -> Option<Arc<Scope>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// The client's own name without control characters, cut to its bound.
fn user_agent(headers: &HeaderMap) -> String {
    let raw = headers
        .get(header::USER_AGENT)
        .map_or(&[][..], |v| v.as_bytes());
    let mut out = String::new();
    for c in String::from_utf8_lossy(raw)
        .chars()
        .filter(|c| !c.is_control())
    {
        if out.len().saturating_add(c.len_utf8()) > USER_AGENT_BYTES_MAX {
            break;
        }
        out.push(c);
    }
    out
}

/// The session's token, in the header or in the query of a presigned URL. Two are none.
fn session_token(headers: &HeaderMap, uri: &Uri) -> Option<SecretText> {
    let in_headers = headers.get_all("x-amz-security-token").into_iter();
    let in_headers = in_headers.filter_map(|value| value.to_str().ok().map(str::to_owned));
    let query = uri.query().unwrap_or_default();
    let in_query = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name.eq_ignore_ascii_case("x-amz-security-token"))
        .map(|(_, value)| value.into_owned());
    let mut all = in_headers.chain(in_query);
    let first = all.next()?;
    // What is no token stands for two: something came, and nothing is opened by it.
    let only = if all.next().is_some() {
        String::new()
    } else {
        first
    };
    Some(SecretText::new(only))
}

/// The bearer credential of a request to what is served by one, where the library would look for a
/// signature; elsewhere the header stays, and is refused. Two are none.
fn bearer(parts: &mut http::request::Parts) -> Option<SecretText> {
    if !Api::takes_bearer(parts.uri.path()) {
        return None;
    }
    let mut all = parts.headers.get_all(header::AUTHORIZATION).iter();
    let text = all.next()?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") || all.next().is_some() {
        return None;
    }
    let token = SecretText::new(token.trim().to_owned());
    let _header = parts.headers.remove(header::AUTHORIZATION);
    Some(token)
}

/// How a request claims to be signed: the library looks at the query first.
fn auth_method(uri: &Uri) -> AuthMethod {
    let signed_in_query = uri.query().unwrap_or_default().split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        percent_encoding::percent_decode_str(name).eq("X-Amz-Signature".bytes())
    });
    if signed_in_query {
        AuthMethod::SigV4Query
    } else {
        AuthMethod::SigV4Header
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn user_agents_are_cut_and_cleaned() {
        let of = |bytes: &[u8]| {
            let value = HeaderValue::from_bytes(bytes).unwrap();
            user_agent(&HeaderMap::from_iter([(header::USER_AGENT, value)]))
        };
        assert_eq!(of(b"aws-cli/2.17 \x80"), "aws-cli/2.17 \u{fffd}");
        assert_eq!(of("a\tb".as_bytes()), "ab");
        assert_eq!(of("é".repeat(200).as_bytes()), "é".repeat(128));
        assert_eq!(user_agent(&HeaderMap::new()), "");
    }

    #[test]
    fn the_signature_may_stand_in_the_query() {
        for (uri, expected) in [
            ("/b/k", AuthMethod::SigV4Header),
            ("/b/k?X-Amz-Signature=00", AuthMethod::SigV4Query),
            ("/b/k?a=b&X%2DAmz-Signature=00", AuthMethod::SigV4Query),
            ("/b/k?a=X-Amz-Signature", AuthMethod::SigV4Header),
            ("/b/k?x-amz-signature=00", AuthMethod::SigV4Header),
        ] {
            assert_eq!(auth_method(&uri.parse().unwrap()), expected, "{uri}");
        }
    }

    #[test]
    fn equal_sessions_are_one_and_the_table_is_bounded() {
        let sessions = Sessions::default();
        let session = |n: usize| Session {
            principal: None,
            responsible: None,
            access_key: None,
            auth: AuthMethod::None,
            client_ip: n.to_string(),
            user_agent: String::new(),
            source: String::new(),
        };
        let first = sessions.share(session(0));
        assert!(Arc::ptr_eq(&first, &sessions.share(session(0))));
        for n in 1..=SESSIONS_MAX {
            let _shared: Arc<Session> = sessions.share(session(n));
        }
        assert!(sessions.late().sessions.len() <= SESSIONS_MAX);
    }

    #[test]
    fn strangers_make_nobody_forgotten() {
        let sessions = Sessions::default();
        let key: AccessKeyId = "KLUISAAAAAAAAAAAAAAA".parse().unwrap();
        let session = |proved: bool, agent: usize| Session {
            principal: proved.then(|| "ana".parse().unwrap()),
            responsible: None,
            access_key: Some(key.clone()),
            auth: AuthMethod::None,
            client_ip: if proved { "10.0.0.1" } else { "10.0.0.2" }.to_owned(),
            user_agent: agent.to_string(),
            source: String::new(),
        };
        let _shared: Arc<Session> = sessions.share(session(true, 0));
        for agent in 0..3 * SESSIONS_MAX {
            let _shared: Arc<Session> = sessions.share(session(false, agent));
        }
        assert!(sessions.knows(&key, "10.0.0.1"));
        assert!(
            !sessions.knows(&key, "10.0.0.2"),
            "it was never proved from there"
        );
        // Nor does who has a credential herself, by agents of her choice.
        for agent in 1..3 * SESSIONS_MAX {
            let _shared: Arc<Session> = sessions.share(session(true, agent));
        }
        assert!(sessions.knows(&key, "10.0.0.1"));
        assert_eq!(sessions.late().recognised.len(), 1);
    }
}
