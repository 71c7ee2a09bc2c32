//! SCIM 2.0 (RFC 7644) under [`BASE`]: the organisations' own systems tell who their people are.
//! The proof is an organisation's bearer credential, which opens nothing else.

use std::future::Future;
use std::sync::Arc;

use axum::body::Body;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value as Json, json};

use super::PREFIX;
use super::answer::{ApiError, Code};
use super::ask::Ask;
use super::scim_words::{self as words, Shown};
use crate::scim::{ERROR, Filter, Group, LIST, MEDIA, Patch, ScimError, User};
use crate::types::{PrincipalId, limits};
use crate::vault::{ErrorKind, Found, Listed, ScimAsk, ScimRefusal, Teller, Vault};

/// Where it lies, behind the API's prefix.
pub(super) const BASE: &str = "scim/v2/";
/// How many resources a page has if nothing is said.
const PAGE: usize = 100;

/// The operation of what is not served there.
pub(super) const ABSENT: &str = "ScimAbsent";

type Answer = Result<Response<Body>, ApiError>;
type Paged = fn(&Ask) -> Result<(ScimAsk, Shown), ScimError>;
type Worked = Result<Response<Body>, ScimRefusal>;

/// Does what is asked, for the organisation that asks; a refusal becomes SCIM's own.
async fn heard<F: Future<Output = Worked>>(
    vault: &Vault,
    ask: &Ask,
    work: impl FnOnce(Teller) -> F,
) -> Answer {
    let worked = match vault.teller(&ask.call, ask.bearer.as_ref()).await {
        Ok(by) => work(by).await,
        Err(error) => Err(ScimRefusal::Vault(error)),
    };
    Ok(worked.unwrap_or_else(|refusal| refused(&refusal)))
}

/// The same with something to read first: what is no SCIM is refused and recorded.
async fn read<T, F: Future<Output = Worked>>(
    vault: &Vault,
    ask: &Ask,
    read: impl FnOnce(&Ask) -> Result<T, ScimError>,
    work: impl FnOnce(Teller, T) -> F,
) -> Answer {
    heard(vault, ask, async |by: Teller| match read(ask) {
        Ok(it) => work(by, it).await,
        Err(error) => Err(vault.scim_unread(&by, error).await),
    })
    .await
}

/// A refusal as RFC 7644, section 3.12 has it.
fn refused(refusal: &ScimRefusal) -> Response<Body> {
    let (status, kind, detail) = match refusal {
        ScimRefusal::Said(error) => {
            let (status, kind) = error.told();
            (status, kind, error.to_string())
        }
        ScimRefusal::Vault(error) => {
            let kind = error.kind();
            let (status, detail) =
                if matches!(kind, ErrorKind::TokenInvalid | ErrorKind::TokenExpired) {
                    (401, "this needs the organisation's credential")
                } else if matches!(kind, ErrorKind::SlowDown | ErrorKind::Conflict) {
                    (429, "too much at once; try again, slower")
                } else if kind.status() == 403 {
                    (403, "the organisation may not")
                } else {
                    (503, "try again")
                };
            (status, None, detail.to_owned())
        }
    };
    failed(status, kind, &detail)
}

/// An error in SCIM's words.
fn failed(status: u16, kind: Option<&'static str>, detail: &str) -> Response<Body> {
    let mut body = json!({"schemas": [ERROR], "status": status.to_string(), "detail": detail});
    if let (Some(kind), Some(body)) = (kind, body.as_object_mut()) {
        let _none = body.insert("scimType".to_owned(), kind.into());
    }
    let mut response = told(StatusCode::from_u16(status).unwrap_or_default(), &body);
    let headers = response.headers_mut();
    if status == 401 {
        let scheme = HeaderValue::from_static("Bearer realm=\"scim\"");
        headers.insert(header::WWW_AUTHENTICATE, scheme);
    } else if status == 429 || status == 503 {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    let _none = response
        .extensions_mut()
        .insert(Code(kind.unwrap_or("scim")));
    response
}

fn told(status: StatusCode, body: &Json) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The body as JSON, within its bound; the parser bounds its depth.
fn body(ask: &Ask) -> Result<Json, ScimError> {
    if ask.body.len() > limits::SCIM_BODY_BYTES_MAX {
        return Err(ScimError::TooMany);
    }
    serde_json::from_slice(&ask.body).map_err(|_no_json| ScimError::Syntax)
}

fn id(ask: &Ask) -> Result<String, ScimError> {
    ask.parameter("id").map_err(|_none| ScimError::Absent)
}

fn query(ask: &Ask, name: &'static str) -> Result<Option<String>, ScimError> {
    ask.asked(name).map_err(|_twice| ScimError::Syntax)
}

fn shown(ask: &Ask) -> Result<Shown, ScimError> {
    let only = query(ask, "attributes")?;
    let without = query(ask, "excludedAttributes")?;
    Shown::read(only.as_deref(), without.as_deref())
}

/// Which page is asked for (RFC 7644, section 3.4.2.4): what is below its least is that.
fn page(ask: &Ask) -> Result<(ScimAsk, Shown), ScimError> {
    let number = |name| -> Result<Option<i64>, ScimError> {
        let text = query(ask, name)?;
        let parsed = text.map(|text| text.parse().map_err(|_none| ScimError::Value));
        parsed.transpose()
    };
    let filter = query(ask, "filter")?
        .map(|text| Filter::read(&text))
        .transpose()?;
    let shown = shown(ask)?;
    let counts = (number("startIndex")?, number("count")?);
    Ok((paged(counts, filter, &shown), shown))
}

/// The same out of a body (RFC 7644, section 3.4.3), so that no filter stands in a URL.
fn searched(ask: &Ask) -> Result<(ScimAsk, Shown), ScimError> {
    const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
    let told = crate::scim::attributes(&body(ask)?, SEARCH)?;
    let part = |wanted: &str| told.iter().find(|(name, _)| name == wanted).map(|(_, v)| v);
    let number = |name| match part(name) {
        None | Some(Json::Null) => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or(ScimError::Value),
    };
    let names = |name| match part(name) {
        None | Some(Json::Null) => Ok(None),
        Some(value) => {
            let all = value.as_array().ok_or(ScimError::Value)?;
            let names = all.iter().map(|one| one.as_str().ok_or(ScimError::Value));
            Ok(Some(names.collect::<Result<Vec<_>, _>>()?.join(",")))
        }
    };
    let filter = match part("filter") {
        None | Some(Json::Null) => None,
        Some(value) => Some(Filter::read(value.as_str().ok_or(ScimError::Filter)?)?),
    };
    let (only, without) = (names("attributes")?, names("excludedattributes")?);
    let shown = Shown::read(only.as_deref(), without.as_deref())?;
    Ok((
        paged((number("startindex")?, number("count")?), filter, &shown),
        shown,
    ))
}

fn paged(
    (start, count): (Option<i64>, Option<i64>),
    filter: Option<Filter>,
    shown: &Shown,
) -> ScimAsk {
    let start = start.unwrap_or(1).max(1);
    let count = count.map_or(PAGE, |count| usize::try_from(count).unwrap_or(0));
    ScimAsk {
        filter,
        skip: usize::try_from(start.saturating_sub(1)).unwrap_or(usize::MAX),
        count: count.min(limits::SCIM_PAGE_MAX),
        members: shown.has("members"),
    }
}

/// The revision that `If-Match` names; `None` for any.
fn expected(ask: &Ask) -> Result<Option<u64>, ScimError> {
    let Some(value) = ask.headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    match value.to_str().map(str::trim) {
        Ok("*") => Ok(None),
        Ok(text) => revision(text).map(Some).ok_or(ScimError::Changed),
        Err(_no_text) => Err(ScimError::Changed),
    }
}

fn revision(text: &str) -> Option<u64> {
    let text = text.strip_prefix("W/").unwrap_or(text);
    text.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// Whether the client has this one already.
fn has_it(ask: &Ask, revision_now: u64) -> bool {
    let value = ask.headers.get(header::IF_NONE_MATCH);
    let text = value.and_then(|value| value.to_str().ok());
    text.is_some_and(|text| {
        text.split(',')
            .any(|one| revision(one.trim()) == Some(revision_now))
    })
}

/// One resource, with where it is and its version in the headers too.
fn one<T>(status: StatusCode, kind: &str, found: &Found<T>, body: &Json) -> Response<Body> {
    let mut response = told(status, body);
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, text: String| {
        if let Ok(value) = HeaderValue::from_str(&text) {
            let _none = headers.insert(name, value);
        }
    };
    set(header::ETAG, format!("W/\"{}\"", found.revision));
    let place = format!("{PREFIX}{BASE}{}", words::place(kind, &found.id));
    if status == StatusCode::CREATED {
        set(header::LOCATION, place.clone());
    }
    set(header::CONTENT_LOCATION, place);
    response
}

fn of_user(status: StatusCode, found: &Found<User>, shown: &Shown) -> Response<Body> {
    one(status, "Users", found, &shown.of(words::user(found)))
}

fn of_group(status: StatusCode, found: &Found<Group>, shown: &Shown) -> Response<Body> {
    let members = shown.has("members");
    one(
        status,
        "Groups",
        found,
        &shown.of(words::group(found, members)),
    )
}

fn list<T>(listed: &Listed<T>, ask: &ScimAsk, show: impl Fn(&Found<T>) -> Json) -> Response<Body> {
    let page: Vec<Json> = listed.page.iter().map(show).collect();
    let body = json!({
        "schemas": [LIST], "totalResults": listed.total, "itemsPerPage": page.len(),
        "startIndex": ask.skip.saturating_add(1), "Resources": page,
    });
    told(StatusCode::OK, &body)
}

fn nothing() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn not_modified() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

/// A constant document, behind the same credential.
async fn document(vault: &Vault, ask: &Ask, what: &str, it: Option<Json>) -> Answer {
    heard(vault, ask, async |by: Teller| {
        let Some(it) = it else {
            return Err(vault.scim_unread(&by, ScimError::Absent).await);
        };
        // RFC 7644, section 4: a filter is not taken here.
        if ask
            .asked::<String>("filter")
            .is_ok_and(|filter| filter.is_none())
        {
            vault.scim_asked(&by, what).await?;
            return Ok(told(StatusCode::OK, &it));
        }
        let mut response = refused(&vault.scim_unread(&by, ScimError::Filter).await);
        *response.status_mut() = StatusCode::FORBIDDEN;
        Ok(response)
    })
    .await
}

pub(super) async fn provider(vault: Arc<Vault>, ask: Ask) -> Answer {
    document(&vault, &ask, "provider", Some(words::provider())).await
}

pub(super) async fn types(vault: Arc<Vault>, ask: Ask) -> Answer {
    document(&vault, &ask, "types", Some(words::all(&words::types()))).await
}

pub(super) async fn one_type(vault: Arc<Vault>, ask: Ask) -> Answer {
    let it = id(&ask)
        .ok()
        .and_then(|id| words::named(words::types(), &id));
    document(&vault, &ask, "type", it).await
}

pub(super) async fn schemas(vault: Arc<Vault>, ask: Ask) -> Answer {
    document(&vault, &ask, "schemas", Some(words::all(&words::schemas()))).await
}

pub(super) async fn schema(vault: Arc<Vault>, ask: Ask) -> Answer {
    let it = id(&ask)
        .ok()
        .and_then(|id| words::named(words::schemas(), &id));
    document(&vault, &ask, "schema", it).await
}

/// What is not there, or takes another method.
pub(super) async fn absent(vault: Arc<Vault>, ask: Ask) -> Answer {
    let there = ask.parameter::<String>("method").is_ok();
    heard(&vault, &ask, async |by: Teller| {
        let mut response = refused(&vault.scim_unread(&by, ScimError::Absent).await);
        if there && response.status() == StatusCode::NOT_FOUND {
            response = failed(405, None, "the method is not served here");
        }
        Ok(response)
    })
    .await
}

/// A search over several types at once.
pub(super) async fn search(vault: Arc<Vault>, ask: Ask) -> Answer {
    heard(&vault, &ask, async |by: Teller| {
        let refusal = vault.scim_unread(&by, ScimError::Absent).await;
        match refusal {
            ScimRefusal::Said(_) => Ok(failed(501, None, "one type is searched at a time")),
            refusal @ ScimRefusal::Vault(_) => Err(refusal),
        }
    })
    .await
}

async fn list_users(vault: &Vault, ask: &Ask, page: Paged) -> Answer {
    read(
        vault,
        ask,
        page,
        async |by: Teller, (asked, shown): (ScimAsk, Shown)| {
            let listed = vault.scim_users(&by, &asked).await?;
            Ok(list(&listed, &asked, |found| shown.of(words::user(found))))
        },
    )
    .await
}

pub(super) async fn users(vault: Arc<Vault>, ask: Ask) -> Answer {
    list_users(&vault, &ask, page).await
}

pub(super) async fn search_users(vault: Arc<Vault>, ask: Ask) -> Answer {
    list_users(&vault, &ask, searched).await
}

pub(super) async fn create_user(vault: Arc<Vault>, ask: Ask) -> Answer {
    let stated = |ask: &Ask| Ok((User::read(&body(ask)?)?, shown(ask)?));
    read(
        &vault,
        &ask,
        stated,
        async |by: Teller, (user, shown): (User, Shown)| {
            let found = vault.scim_create_user(&by, user).await?;
            Ok(of_user(StatusCode::CREATED, &found, &shown))
        },
    )
    .await
}

pub(super) async fn user(vault: Arc<Vault>, ask: Ask) -> Answer {
    let named = |ask: &Ask| Ok((id(ask)?, shown(ask)?));
    read(
        &vault,
        &ask,
        named,
        async |by: Teller, (id, shown): (String, Shown)| {
            let found = vault.scim_user(&by, &id).await?;
            if has_it(&ask, found.revision) {
                return Ok(not_modified());
            }
            Ok(of_user(StatusCode::OK, &found, &shown))
        },
    )
    .await
}

type Change<T> = (String, Option<u64>, T, Shown);

fn change<T>(ask: &Ask, it: fn(&Json) -> Result<T, ScimError>) -> Result<Change<T>, ScimError> {
    Ok((id(ask)?, expected(ask)?, it(&body(ask)?)?, shown(ask)?))
}

pub(super) async fn put_user(vault: Arc<Vault>, ask: Ask) -> Answer {
    let stated = |ask: &Ask| change(ask, User::read);
    read(
        &vault,
        &ask,
        stated,
        async |by: Teller, (id, was, user, shown): Change<User>| {
            let put = |_old: &User, _id: &PrincipalId| Ok(user.clone());
            let found = vault.scim_change_user(&by, &id, was, put).await?;
            Ok(of_user(StatusCode::OK, &found, &shown))
        },
    )
    .await
}

pub(super) async fn patch_user(vault: Arc<Vault>, ask: Ask) -> Answer {
    let stated = |ask: &Ask| change(ask, Patch::read);
    read(
        &vault,
        &ask,
        stated,
        async |by: Teller, (id, was, patch, shown): Change<Patch>| {
            let change = |old: &User, id: &PrincipalId| patch.user(old, id);
            let found = vault.scim_change_user(&by, &id, was, change).await?;
            Ok(of_user(StatusCode::OK, &found, &shown))
        },
    )
    .await
}

pub(super) async fn delete_user(vault: Arc<Vault>, ask: Ask) -> Answer {
    let named = |ask: &Ask| Ok((id(ask)?, expected(ask)?));
    read(
        &vault,
        &ask,
        named,
        async |by: Teller, (id, was): (String, Option<u64>)| {
            vault.scim_delete_user(&by, &id, was).await?;
            Ok(nothing())
        },
    )
    .await
}

async fn list_groups(vault: &Vault, ask: &Ask, page: Paged) -> Answer {
    read(
        vault,
        ask,
        page,
        async |by: Teller, (asked, shown): (ScimAsk, Shown)| {
            let listed = vault.scim_groups(&by, &asked).await?;
            let show = |found: &Found<Group>| shown.of(words::group(found, asked.members));
            Ok(list(&listed, &asked, show))
        },
    )
    .await
}

pub(super) async fn groups(vault: Arc<Vault>, ask: Ask) -> Answer {
    list_groups(&vault, &ask, page).await
}

pub(super) async fn search_groups(vault: Arc<Vault>, ask: Ask) -> Answer {
    list_groups(&vault, &ask, searched).await
}

pub(super) async fn create_group(vault: Arc<Vault>, ask: Ask) -> Answer {
    let stated = |ask: &Ask| Ok((Group::read(&body(ask)?)?, shown(ask)?));
    read(
        &vault,
        &ask,
        stated,
        async |by: Teller, (group, shown): (Group, Shown)| {
            let found = vault.scim_create_group(&by, group).await?;
            Ok(of_group(StatusCode::CREATED, &found, &shown))
        },
    )
    .await
}

pub(super) async fn group(vault: Arc<Vault>, ask: Ask) -> Answer {
    let named = |ask: &Ask| Ok((id(ask)?, shown(ask)?));
    read(
        &vault,
        &ask,
        named,
        async |by: Teller, (id, shown): (String, Shown)| {
            let found = vault.scim_group(&by, &id, shown.has("members")).await?;
            if has_it(&ask, found.revision) {
                return Ok(not_modified());
            }
            Ok(of_group(StatusCode::OK, &found, &shown))
        },
    )
    .await
}

pub(super) async fn put_group(vault: Arc<Vault>, ask: Ask) -> Answer {
    let stated = |ask: &Ask| change(ask, Group::read);
    read(
        &vault,
        &ask,
        stated,
        async |by: Teller, (id, was, group, shown): Change<Group>| {
            let put = |_old: &Group, _id: &PrincipalId| Ok(group.clone());
            let found = vault.scim_change_group(&by, &id, was, put).await?;
            Ok(of_group(StatusCode::OK, &found, &shown))
        },
    )
    .await
}

pub(super) async fn patch_group(vault: Arc<Vault>, ask: Ask) -> Answer {
    let stated = |ask: &Ask| change(ask, Patch::read);
    read(
        &vault,
        &ask,
        stated,
        async |by: Teller, (id, was, patch, shown): Change<Patch>| {
            let change = |old: &Group, id: &PrincipalId| patch.group(old, id);
            let found = vault.scim_change_group(&by, &id, was, change).await?;
            Ok(of_group(StatusCode::OK, &found, &shown))
        },
    )
    .await
}

pub(super) async fn delete_group(vault: Arc<Vault>, ask: Ask) -> Answer {
    let named = |ask: &Ask| Ok((id(ask)?, expected(ask)?));
    read(
        &vault,
        &ask,
        named,
        async |by: Teller, (id, was): (String, Option<u64>)| {
            vault.scim_delete_group(&by, &id, was).await?;
            Ok(nothing())
        },
    )
    .await
}
