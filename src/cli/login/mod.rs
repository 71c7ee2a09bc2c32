//! `kluis login`, `logout`, `whoami`: a person signs in with an OpenID provider, and what the vault
//! gives for that is kept for an hour at most, in a file that only she can read. Nothing of the
//! provider's is kept: no refresh token is asked for.

mod browser;
mod oidc;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::cell::NEVER;
use super::login_args::{Kept, Login, Whoami};
use super::output::{CliError, Exit, Output};
use super::serve::runtime;
use super::way::Signer;
use crate::app::fetch::{self, FetchError};
use crate::app::system::{SystemClock, SystemEntropy};
use crate::app::{create_folder, write_file};
use crate::config::{Environment, Variable};
use crate::node::{Assumed, element, session_form, variable_of};
use crate::types::{Clock as _, Entropy as _, SecretText, limits};
use browser::Waiting;
use oidc::{Answer, Device, LoginError, Once, Provider};

const FILE: &str = ".kluis/session.env";
const REGION: &str = "kluis";
/// What of a session's file says with whom and where somebody signed in.
const PLACE: [&str; 4] = [
    "AWS_ENDPOINT_URL",
    "AWS_CA_BUNDLE",
    "KLUIS_ISSUER",
    "KLUIS_CLIENT_ID",
];

/// With whom and where somebody signs in.
struct Place {
    issuer: String,
    client: String,
    endpoint: String,
    ca: Option<PathBuf>,
    scope: String,
}

impl From<LoginError> for CliError {
    fn from(error: LoginError) -> Self {
        let exit = match &error {
            LoginError::Configuration | LoginError::Issuer(_) | LoginError::NotOffered(_) => {
                Exit::Usage
            }
            LoginError::State
            | LoginError::Refused(_)
            | LoginError::Expired
            | LoginError::Answer(_)
            | LoginError::Token(_) => Exit::No,
        };
        Self::of(exit, &error)
    }
}

fn unreachable(who: &str, error: &FetchError) -> CliError {
    let told = CliError::of(Exit::Unavailable, error);
    let told = format!("{who}: {}", told.message());
    if matches!(
        error,
        FetchError::Trust { .. } | FetchError::TrustFile { .. }
    ) {
        return CliError::new(Exit::Usage, told)
            .hint("`--ca-file` names a file of certificates, PEM");
    }
    CliError::new(Exit::Unavailable, told)
        .hint("does it run, and is its URL right? `--ca-file` trusts a certificate of your own")
}

/// Signs in, or shows the session that is kept.
pub(super) fn run(
    ask: &Login,
    environment: &Environment,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let file = file(ask.kept.session.as_deref(), environment)?;
    if ask.env || ask.process {
        return show(ask, &file, output);
    }
    let place = place(ask, &file)?;
    let told = runtime()?.block_on(async {
        let token = if ask.device {
            by_device(&place, output).await?
        } else {
            by_browser(&place, output).await?
        };
        exchange(&place, &token, ask.role.as_deref()).await
    })?;
    keep(&place, &told, &file)?;
    output.note(&format!("signed in until {}", told.expires));
    output
        .hint("`kluis whoami` says as whom; `eval \"$(kluis login --env)\"` lets S3 tools use it");
    Ok(Exit::Done)
}

fn file(session: Option<&Path>, environment: &Environment) -> Result<PathBuf, CliError> {
    if let Some(path) = session {
        return Ok(path.to_owned());
    }
    let home = environment.get(Variable::Home);
    let home = home.ok_or_else(|| CliError::new(Exit::Usage, "there is no home directory"));
    let home = home.map_err(|error| error.hint("--session names the file"))?;
    Ok(Path::new(home.expose()).join(FILE))
}

/// Where it is kept with whom and where somebody signed in last, once she has signed out: nothing
/// that lets anybody in.
fn remembered(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".last");
    name.into()
}

/// What the arguments say, or the session of the last time.
fn place(ask: &Login, file: &Path) -> Result<Place, CliError> {
    let last = std::fs::read_to_string(file)
        .or_else(|_signed_out| std::fs::read_to_string(remembered(file)))
        .unwrap_or_default();
    let of = |given: &Option<String>, name: &str, option: &str| {
        let value = given.clone().or_else(|| variable_of(&last, name));
        value
            .ok_or_else(|| CliError::new(Exit::Usage, format!("{option} is needed the first time")))
    };
    let last_ca = || variable_of(&last, "AWS_CA_BUNDLE").map(PathBuf::from);
    let place = Place {
        issuer: of(&ask.issuer, "KLUIS_ISSUER", "--issuer")?,
        client: of(&ask.client_id, "KLUIS_CLIENT_ID", "--client-id")?,
        endpoint: of(&ask.endpoint, "AWS_ENDPOINT_URL", "--endpoint")?,
        ca: ask.ca_file.clone().or_else(last_ca),
        scope: ask.scope.clone(),
    };
    let texts = [&place.issuer, &place.client, &place.endpoint];
    if texts.iter().any(|text| text.contains(char::is_whitespace)) {
        return Err(CliError::new(
            Exit::Usage,
            "a URL or a client's name has no space",
        ));
    }
    // Before anybody signs in for nothing.
    for (option, url) in [("--issuer", &place.issuer), ("--endpoint", &place.endpoint)] {
        fetch::Place::of(url).map_err(|error| {
            let told = format!("{option} {url}: {error}");
            CliError::new(Exit::Usage, told).hint(NOT_IN_CLEAR)
        })?;
    }
    Ok(place)
}

const NOT_IN_CLEAR: &str = "a token and what is given for it cross no network in clear";

impl Place {
    async fn provider(&self) -> Result<Provider, CliError> {
        let base = self.issuer.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let most = limits::TOKEN_KEYS_BYTES_MAX;
        let text = fetch::get(&url, self.ca.as_deref(), most).await;
        let text = text.map_err(|error| unreachable("the provider's configuration", &error))?;
        Ok(Provider::read(&text, &self.issuer)?)
    }

    async fn post(&self, url: &str, form: String) -> Result<Vec<u8>, CliError> {
        let answer = fetch::post_form(url, form, self.ca.as_deref(), limits::TOKEN_KEYS_BYTES_MAX);
        let (_, body) = answer
            .await
            .map_err(|error| unreachable("the provider", &error))?;
        Ok(body)
    }

    fn judge(&self, token: &str, nonce: Option<&str>) -> Result<(), LoginError> {
        oidc::judge(
            token,
            (&self.issuer, &self.client),
            nonce,
            SystemClock.now(),
        )
    }
}

async fn by_browser(place: &Place, output: &mut Output) -> Result<SecretText, CliError> {
    let provider = place.provider().await?;
    let mut random = zeroize::Zeroizing::new([0_u8; 96]);
    let drawn = SystemEntropy::new().fill(random.as_mut());
    drawn.map_err(|error| CliError::of(Exit::Unavailable, &error))?;
    let once = Once::of(&random);
    let waiting = Waiting::open().await?;
    let redirect = waiting.url()?;
    let page = once.page(&provider, (&place.client, &place.scope), &redirect)?;
    output.note("open this page in your browser:");
    output.copied(&page);
    let late = || CliError::new(Exit::No, "nobody signed in within five minutes");
    let query = waiting.query(|query| once.is_answer(query)).await;
    let query = query.ok_or_else(late)?;
    let code = once.code(&query, &place.issuer)?;
    let form = once.exchange(&code, &place.client, &redirect);
    let body = place.post(&provider.token_endpoint, form).await?;
    let Answer::Token(token) = Answer::read(&body, false)? else {
        return Err(LoginError::Answer("it has no identity token").into());
    };
    place.judge(&token, Some(once.nonce()))?;
    Ok(SecretText::new(token))
}

async fn by_device(place: &Place, output: &mut Output) -> Result<SecretText, CliError> {
    let provider = place.provider().await?;
    let endpoint = provider.device_authorization_endpoint.as_deref();
    let endpoint = endpoint.ok_or(LoginError::NotOffered("the device flow"))?;
    let form = Device::ask(&place.client, &place.scope);
    let device = Device::read(&place.post(endpoint, form).await?)?;
    let (page, code) = device.told();
    output.note(&format!("on any machine, open {page} and enter {code}"));
    let (mut interval, lasts) = device.pace();
    let end = tokio::time::Instant::now() + Duration::from_secs(lasts);
    while tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_secs(interval)).await;
        let form = device.poll(&place.client);
        let body = place.post(&provider.token_endpoint, form).await?;
        match Answer::read(&body, true)? {
            Answer::Token(token) => {
                place.judge(&token, None)?;
                return Ok(SecretText::new(token));
            }
            Answer::Wait(more) => interval = interval.saturating_add(more).min(60),
        }
    }
    Err(LoginError::Expired.into())
}

async fn exchange(
    place: &Place,
    token: &SecretText,
    role: Option<&str>,
) -> Result<Assumed, CliError> {
    let role = format!("arn:aws:iam::kluis:role/{}", role.unwrap_or("kluis"));
    let form = session_form(token, (&role, "kluis-login"), None);
    let url = format!("{}/", place.endpoint.trim_end_matches('/'));
    let answer = fetch::post_form(
        &url,
        form,
        place.ca.as_deref(),
        limits::TOKEN_KEYS_BYTES_MAX,
    )
    .await;
    let (status, body) = answer.map_err(|error| unreachable("the gateway", &error))?;
    if status != 200 {
        let text = String::from_utf8_lossy(&body);
        let code = element(&text, "Code").unwrap_or("no reason");
        let exit = if status >= 500 {
            Exit::Unavailable
        } else {
            Exit::No
        };
        let told = CliError::new(exit, format!("the gateway refuses: {code}"));
        return Err(match (code, oidc::subject(token.expose())) {
            ("AccessDenied", Some(subject)) => told.hint(unknown(&place.issuer, &subject)),
            (_, _) => told.hint("its log says why: is the provider believed there?"),
        });
    }
    let bad = || CliError::new(Exit::Unavailable, "the gateway's answer is no session");
    Assumed::read(&body).ok_or_else(bad)
}

/// What somebody tells her administrator whose sign-in nobody has linked to her.
fn unknown(issuer: &str, subject: &str) -> String {
    format!(
        "you are signed in as subject {subject} of issuer {issuer}, and the vault knows nobody by \
         that, or she is suspended: its administrator links it (`kluis principal link`)"
    )
}

/// Writes the session, whole or not at all, for its owner alone.
fn keep(place: &Place, told: &Assumed, file: &Path) -> Result<(), CliError> {
    let mut lines = vec![
        format!("AWS_ENDPOINT_URL={}", place.endpoint),
        format!("AWS_REGION={REGION}"),
        format!("AWS_ACCESS_KEY_ID={}", told.id),
        format!("AWS_SECRET_ACCESS_KEY={}", told.secret.expose()),
        format!("AWS_SESSION_TOKEN={}", told.token.expose()),
        format!("KLUIS_EXPIRES={}", told.expires),
        format!("KLUIS_ISSUER={}", place.issuer),
        format!("KLUIS_CLIENT_ID={}", place.client),
    ];
    if let Some(path) = &place.ca {
        lines.push(format!("AWS_CA_BUNDLE={}", path.display()));
    }
    let text = zeroize::Zeroizing::new(lines.join("\n") + "\n");
    create_folder(file)?;
    Ok(write_file(file, text.as_bytes(), 0o600)?)
}

/// The kept session, if it is not over.
fn kept(file: &Path) -> Result<zeroize::Zeroizing<String>, CliError> {
    let none = |why: &str| CliError::new(Exit::No, why).hint("`kluis login` signs in");
    let text = std::fs::read_to_string(file).map_err(|_no_file| none("nobody is signed in"))?;
    let text = zeroize::Zeroizing::new(text);
    let end = variable_of(&text, "KLUIS_EXPIRES").unwrap_or_default();
    let end = super::values::time(&end).map_err(|_no_time| none("nobody is signed in"))?;
    if end <= SystemClock.now() {
        return Err(none("the session is over"));
    }
    Ok(text)
}

fn show(ask: &Login, file: &Path, output: &mut Output) -> Result<Exit, CliError> {
    let text = kept(file)?;
    let of = |name: &str| variable_of(&text, name).unwrap_or_default();
    if output.is_terminal() && !ask.force {
        return Err(
            CliError::new(Exit::Usage, "a secret is not shown on a terminal")
                .hint("eval \"$(kluis login --env)\", or --force"),
        );
    }
    if ask.process {
        let value = json!({
            "Version": 1, "AccessKeyId": of("AWS_ACCESS_KEY_ID"),
            "SecretAccessKey": of("AWS_SECRET_ACCESS_KEY"), "SessionToken": of("AWS_SESSION_TOKEN"),
            "Expiration": of("KLUIS_EXPIRES"),
        });
        output.data(format!("{value}\n").as_bytes())?;
        return Ok(Exit::Done);
    }
    let names = [
        "AWS_ENDPOINT_URL",
        "AWS_REGION",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_CA_BUNDLE",
    ];
    let lines = names.into_iter().filter_map(|name| {
        let value = variable_of(&text, name)?;
        // A word in single quotes is only itself.
        let word = value.replace('\'', "'\\''");
        // Older tools know the region by its other name alone.
        let other = match name {
            "AWS_REGION" => format!("export AWS_DEFAULT_REGION='{word}'\n"),
            _ => String::new(),
        };
        Some(format!("export {name}='{word}'\n{other}"))
    });
    output.data(lines.collect::<String>().as_bytes())?;
    Ok(Exit::Done)
}

/// Forgets the session.
pub(super) fn logout(
    kept: &Kept,
    environment: &Environment,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let file = file(kept.session.as_deref(), environment)?;
    if let Ok(text) = std::fs::read_to_string(&file).map(zeroize::Zeroizing::new) {
        let of = |name: &&str| Some(format!("{name}={}\n", variable_of(&text, name)?));
        let lines: String = PLACE.iter().filter_map(of).collect();
        write_file(&remembered(&file), lines.as_bytes(), 0o600)?;
    }
    match std::fs::remove_file(&file) {
        Ok(()) => output.note("the session is forgotten here; at the gateway it ends by itself"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            output.note("nobody was signed in");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Done)
}

/// Asks the gateway whom it takes this person for: by a credential that is named, by the session
/// that `kluis login` kept, or by what the environment has.
pub(super) fn whoami(
    ask: &Whoami,
    environment: &Environment,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let named = ask.caller.credentials.as_deref();
    let session = ask.kept.session.as_deref();
    let (credentials, until) = signed_by((named, session), environment)?;
    let signer = Signer::known(credentials.as_deref(), environment, output)?;
    let (principal, acts_for) = signer.person();
    // A session's file says until when without the gateway, too.
    let told = signer.identity();
    let until = Some(until).filter(|until| !until.is_empty());
    let until = told.expires.clone().or(until);
    let scope = json!(told.scope);
    let shown = if output.is_json() {
        scope
    } else {
        json!(reach(&scope, signer.tells("scope")))
    };
    // In the words of `kluis credential list`.
    let lasts = until.is_none() && signer.tells("expires") && !output.is_json();
    let until = until.or_else(|| lasts.then(|| NEVER.to_owned()));
    output.record(&json!({
        "principal": principal,
        "acts_for": acts_for,
        "until": until,
        "groups": told.groups,
        "scope": shown,
        "acr": told.acr,
        "amr": told.amr,
    }))?;
    Ok(Exit::Done)
}

/// How far a credential reaches, in words.
fn reach(scope: &Value, told: bool) -> String {
    let Value::Object(members) = scope else {
        return if told { "all" } else { "" }.to_owned();
    };
    let said = members.iter().filter_map(|(name, value)| match value {
        Value::Null | Value::Bool(false) => None,
        Value::Bool(true) => Some(name.replace('_', "-")),
        Value::Array(all) if all.is_empty() => None,
        Value::Array(all) => {
            let all = all.iter().filter_map(Value::as_str);
            Some(format!("{name}={}", all.collect::<Vec<_>>().join(",")))
        }
        Value::String(text) => Some(format!("{name}={text}")),
        Value::Number(_) | Value::Object(_) => Some(format!("{name}={value}")),
    });
    said.collect::<Vec<_>>().join(" ")
}

/// Whether the environment has a credential, or the token of a service account.
fn names_somebody(environment: &Environment) -> bool {
    let any = [Variable::AwsAccessKeyId, Variable::AwsWebIdentityTokenFile];
    any.into_iter().any(|name| environment.has(name))
}

/// The file of the credential that signs, if it is not the environment's, and until when it does,
/// where that is known. **The one place that says who signs.**
pub(super) fn signed_by(
    (credentials, session): (Option<&Path>, Option<&Path>),
    environment: &Environment,
) -> Result<(Option<PathBuf>, String), CliError> {
    if let Some(credentials) = credentials {
        return Ok((Some(credentials.to_owned()), String::new()));
    }
    let place = file(session, environment);
    // A session that is over is no word for whoever else the environment names.
    let none = place.as_ref().is_ok_and(|file| !file.exists()) || place.is_err();
    let held = place.and_then(|file| Ok((kept(&file)?, file)));
    match held {
        Ok((text, file)) => {
            let until = variable_of(&text, "KLUIS_EXPIRES").unwrap_or_default();
            Ok((Some(file), until))
        }
        Err(_nobody) if none && session.is_none() && names_somebody(environment) => {
            Ok((None, String::new()))
        }
        Err(nobody) => Err(nobody.hint("`--credentials FILE` asks with a lasting credential")),
    }
}
