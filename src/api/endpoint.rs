//! The endpoints, in one table: what is served, what the log calls it, who may ask unsigned.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use futures_util::future::BoxFuture;
use http::{Method, Response};

use super::answer::ApiError;
use super::ask::Ask;
use super::{
    PREFIX, approvals, datasets, erasures, grants, identity, jobs, log_terms, members, notices,
    openapi, records, scim, versions,
};
use crate::vault::Vault;

/// Serves one endpoint.
pub(super) type Handle =
    fn(Arc<Vault>, Ask) -> BoxFuture<'static, Result<Response<Body>, ApiError>>;

/// One thing that can be asked.
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path behind [`PREFIX`], with names in braces.
    pub path: &'static str,
    /// What the log calls it.
    pub operation: &'static str,
    /// Whether it is served without a signature; its handler then knows nobody.
    pub unsigned: bool,
    pub(super) handle: Handle,
}

/// A signed endpoint.
const fn signed(
    method: Method,
    path: &'static str,
    operation: &'static str,
    handle: Handle,
) -> Endpoint {
    Endpoint {
        method,
        path,
        operation,
        unsigned: false,
        handle,
    }
}

/// An endpoint whose proof is no signature of a credential.
const fn unsigned(
    method: Method,
    path: &'static str,
    operation: &'static str,
    handle: Handle,
) -> Endpoint {
    Endpoint {
        method,
        path,
        operation,
        unsigned: true,
        handle,
    }
}

/// All of them.
pub(super) static ENDPOINTS: &[Endpoint] = &[
    signed(Method::GET, "identity", "GetIdentity", |vault, ask| {
        Box::pin(identity::get(vault, ask))
    }),
    signed(
        Method::POST,
        "versions/{bucket}",
        "PublishVersion",
        |vault, ask| Box::pin(versions::publish(vault, ask)),
    ),
    signed(
        Method::GET,
        "versions/{bucket}",
        "ListPublished",
        |vault, ask| Box::pin(versions::list(vault, ask)),
    ),
    signed(
        Method::GET,
        "versions/{bucket}/root",
        "OpenVersion",
        |vault, ask| Box::pin(versions::open(vault, ask)),
    ),
    signed(
        Method::GET,
        "versions/{bucket}/index",
        "GetManifestIndex",
        |vault, ask| Box::pin(versions::index(vault, ask)),
    ),
    signed(
        Method::GET,
        "versions/{bucket}/pages/{page}",
        "GetManifestPage",
        |vault, ask| Box::pin(versions::page(vault, ask)),
    ),
    signed(
        Method::POST,
        "versions/{bucket}/keys",
        "ReleaseKeys",
        |vault, ask| Box::pin(versions::keys(vault, ask)),
    ),
    signed(
        Method::POST,
        "versions/{bucket}/pack",
        "GetPack",
        |vault, ask| Box::pin(versions::pack(vault, ask)),
    ),
    signed(
        Method::POST,
        "versions/{bucket}/urls",
        "GetUrls",
        |vault, ask| Box::pin(versions::urls(vault, ask)),
    ),
    signed(
        Method::GET,
        "versions/{bucket}/sealed",
        "GetSealed",
        |vault, ask| Box::pin(versions::sealed(vault, ask)),
    ),
    signed(
        Method::POST,
        "versions/{bucket}/lease",
        "RenewLease",
        |vault, ask| Box::pin(versions::renew(vault, ask)),
    ),
    signed(
        Method::POST,
        "versions/{bucket}/reads",
        "ReportReads",
        |vault, ask| Box::pin(versions::reads(vault, ask)),
    ),
    signed(
        Method::GET,
        "projects/{project}/grants",
        "ListGrants",
        |vault, ask| Box::pin(grants::list(vault, ask)),
    ),
    signed(
        Method::POST,
        "projects/{project}/grants",
        "CreateGrant",
        |vault, ask| Box::pin(grants::create(vault, ask)),
    ),
    signed(
        Method::GET,
        "projects/{project}/groups/{group}",
        "ListMembers",
        |vault, ask| Box::pin(members::list(vault, ask)),
    ),
    signed(
        Method::GET,
        "projects/{project}/log",
        "GetLogTerms",
        |vault, ask| Box::pin(log_terms::get(vault, ask)),
    ),
    signed(
        Method::PUT,
        "projects/{project}/log",
        "SetLogTerms",
        |vault, ask| Box::pin(log_terms::put(vault, ask)),
    ),
    signed(
        Method::GET,
        "projects/{project}/grants/{grant}",
        "GetGrant",
        |vault, ask| Box::pin(grants::get(vault, ask)),
    ),
    signed(
        Method::DELETE,
        "projects/{project}/grants/{grant}",
        "WithdrawGrant",
        |vault, ask| Box::pin(grants::withdraw(vault, ask)),
    ),
    signed(
        Method::POST,
        "projects/{project}/grants/{grant}/approve",
        "ApproveGrant",
        |vault, ask| Box::pin(grants::approve(vault, ask)),
    ),
    signed(
        Method::POST,
        "projects/{project}/grants/{grant}/confirm",
        "ConfirmGrant",
        |vault, ask| Box::pin(grants::confirm(vault, ask)),
    ),
    unsigned(
        Method::GET,
        "openapi.json",
        "GetApiDescription",
        |vault, ask| Box::pin(openapi::get(vault, ask)),
    ),
    signed(Method::GET, "jobs", "ListJobs", |vault, ask| {
        Box::pin(jobs::list(vault, ask))
    }),
    signed(Method::POST, "jobs", "SubmitJob", |vault, ask| {
        Box::pin(jobs::submit(vault, ask))
    }),
    signed(
        Method::DELETE,
        "jobs/{person}/{id}",
        "CancelJob",
        |vault, ask| Box::pin(jobs::cancel(vault, ask)),
    ),
    unsigned(Method::POST, "jobs/start", "StartJob", |vault, ask| {
        Box::pin(jobs::start(vault, ask))
    }),
    unsigned(Method::POST, "jobs/end", "EndJob", |vault, ask| {
        Box::pin(jobs::end(vault, ask))
    }),
    signed(Method::GET, "datasets", "ListDatasets", |vault, ask| {
        Box::pin(datasets::list(vault, ask))
    }),
    signed(
        Method::PUT,
        "projects/{project}/defaults",
        "SetDefaults",
        |vault, ask| Box::pin(datasets::defaults(vault, ask)),
    ),
    signed(
        Method::GET,
        "datasets/{bucket}",
        "DescribeDataset",
        |vault, ask| Box::pin(datasets::get(vault, ask)),
    ),
    signed(
        Method::PUT,
        "datasets/{bucket}",
        "CreateDataset",
        |vault, ask| Box::pin(datasets::create(vault, ask)),
    ),
    signed(
        Method::POST,
        "datasets/{bucket}",
        "SetDescription",
        |vault, ask| Box::pin(datasets::set(vault, ask)),
    ),
    signed(Method::GET, "notices", "ListNotices", |vault, ask| {
        Box::pin(notices::list(vault, ask))
    }),
    signed(
        Method::POST,
        "projects/{project}/approvals/{approval}/break-glass",
        "BreakGlass",
        |vault, ask| Box::pin(approvals::break_glass(vault, ask)),
    ),
    signed(
        Method::GET,
        "projects/{project}/records",
        "ListRecords",
        |vault, ask| Box::pin(records::list(vault, ask)),
    ),
    signed(
        Method::GET,
        "projects/{project}/records/{event}/proof",
        "ProveRecord",
        |vault, ask| Box::pin(records::prove(vault, ask)),
    ),
    signed(
        Method::GET,
        "projects/{project}/approvals",
        "ListApprovals",
        |vault, ask| Box::pin(approvals::list(vault, ask)),
    ),
    signed(
        Method::POST,
        "projects/{project}/approvals",
        "AskApproval",
        |vault, ask| Box::pin(approvals::create(vault, ask)),
    ),
    signed(
        Method::POST,
        "projects/{project}/approvals/{approval}/erase",
        "Erase",
        |vault, ask| Box::pin(erasures::erase(vault, ask)),
    ),
    signed(
        Method::GET,
        "projects/{project}/erasures",
        "ListErasures",
        |vault, ask| Box::pin(erasures::list(vault, ask)),
    ),
    signed(
        Method::GET,
        "projects/{project}/erasures/{work}",
        "GetCertificate",
        |vault, ask| Box::pin(erasures::certificate(vault, ask)),
    ),
    signed(
        Method::GET,
        "projects/{project}/approvals/{approval}",
        "GetApproval",
        |vault, ask| Box::pin(approvals::get(vault, ask)),
    ),
    signed(
        Method::DELETE,
        "projects/{project}/approvals/{approval}",
        "WithdrawApproval",
        |vault, ask| Box::pin(approvals::withdraw(vault, ask)),
    ),
    signed(
        Method::POST,
        "projects/{project}/approvals/{approval}/approve",
        "ApproveAct",
        |vault, ask| Box::pin(approvals::approve(vault, ask)),
    ),
    signed(
        Method::POST,
        "projects/{project}/approvals/{approval}/refuse",
        "RefuseAct",
        |vault, ask| Box::pin(approvals::refuse(vault, ask)),
    ),
    unsigned(
        Method::GET,
        "scim/v2/ServiceProviderConfig",
        "ScimProvider",
        |vault, ask| Box::pin(scim::provider(vault, ask)),
    ),
    unsigned(
        Method::GET,
        "scim/v2/ResourceTypes",
        "ScimTypes",
        |vault, ask| Box::pin(scim::types(vault, ask)),
    ),
    unsigned(
        Method::GET,
        "scim/v2/ResourceTypes/{id}",
        "ScimType",
        |vault, ask| Box::pin(scim::one_type(vault, ask)),
    ),
    unsigned(
        Method::GET,
        "scim/v2/Schemas",
        "ScimSchemas",
        |vault, ask| Box::pin(scim::schemas(vault, ask)),
    ),
    unsigned(
        Method::GET,
        "scim/v2/Schemas/{id}",
        "ScimSchema",
        |vault, ask| Box::pin(scim::schema(vault, ask)),
    ),
    unsigned(
        Method::GET,
        "scim/v2/Users",
        "ScimListUsers",
        |vault, ask| Box::pin(scim::users(vault, ask)),
    ),
    unsigned(
        Method::POST,
        "scim/v2/Users",
        "ScimCreateUser",
        |vault, ask| Box::pin(scim::create_user(vault, ask)),
    ),
    unsigned(
        Method::GET,
        "scim/v2/Users/{id}",
        "ScimGetUser",
        |vault, ask| Box::pin(scim::user(vault, ask)),
    ),
    unsigned(
        Method::PUT,
        "scim/v2/Users/{id}",
        "ScimPutUser",
        |vault, ask| Box::pin(scim::put_user(vault, ask)),
    ),
    unsigned(
        Method::PATCH,
        "scim/v2/Users/{id}",
        "ScimPatchUser",
        |vault, ask| Box::pin(scim::patch_user(vault, ask)),
    ),
    unsigned(
        Method::DELETE,
        "scim/v2/Users/{id}",
        "ScimDeleteUser",
        |vault, ask| Box::pin(scim::delete_user(vault, ask)),
    ),
    unsigned(
        Method::GET,
        "scim/v2/Groups",
        "ScimListGroups",
        |vault, ask| Box::pin(scim::groups(vault, ask)),
    ),
    unsigned(
        Method::POST,
        "scim/v2/Groups",
        "ScimCreateGroup",
        |vault, ask| Box::pin(scim::create_group(vault, ask)),
    ),
    unsigned(
        Method::GET,
        "scim/v2/Groups/{id}",
        "ScimGetGroup",
        |vault, ask| Box::pin(scim::group(vault, ask)),
    ),
    unsigned(
        Method::PUT,
        "scim/v2/Groups/{id}",
        "ScimPutGroup",
        |vault, ask| Box::pin(scim::put_group(vault, ask)),
    ),
    unsigned(
        Method::PATCH,
        "scim/v2/Groups/{id}",
        "ScimPatchGroup",
        |vault, ask| Box::pin(scim::patch_group(vault, ask)),
    ),
    unsigned(
        Method::DELETE,
        "scim/v2/Groups/{id}",
        "ScimDeleteGroup",
        |vault, ask| Box::pin(scim::delete_group(vault, ask)),
    ),
    unsigned(
        Method::GET,
        "scim/v2/{*rest}",
        "ScimAbsent",
        |vault, ask| Box::pin(scim::absent(vault, ask)),
    ),
    unsigned(
        Method::POST,
        "scim/v2/Users/.search",
        "ScimSearchUsers",
        |vault, ask| Box::pin(scim::search_users(vault, ask)),
    ),
    unsigned(
        Method::POST,
        "scim/v2/Groups/.search",
        "ScimSearchGroups",
        |vault, ask| Box::pin(scim::search_groups(vault, ask)),
    ),
    unsigned(
        Method::POST,
        "scim/v2/.search",
        "ScimSearch",
        |vault, ask| Box::pin(scim::search(vault, ask)),
    ),
];

/// What a path and method lead to.
pub enum Found {
    /// An endpoint, and what stands in the path for its names.
    Endpoint(&'static Endpoint, Vec<(String, String)>),
    /// Nothing at this path.
    NoPath,
    /// The path is there, for other methods.
    NoMethod,
}

/// The router.
pub(super) struct Routes(matchit::Router<Vec<&'static Endpoint>>);

impl Routes {
    /// Of the table.
    pub(super) fn new() -> Self {
        let mut paths: Vec<(&str, Vec<&Endpoint>)> = Vec::new();
        for endpoint in ENDPOINTS {
            match paths.iter_mut().find(|(path, _)| *path == endpoint.path) {
                Some((_, at)) => at.push(endpoint),
                None => paths.push((endpoint.path, vec![endpoint])),
            }
        }
        let mut router = matchit::Router::new();
        for (path, endpoints) in paths {
            // A test sees that every path of the table is found.
            if let Err(error) = router.insert(path, endpoints) {
                tracing::error!(%error, path, "two endpoints at one path");
            }
        }
        Self(router)
    }

    pub(super) fn find(&self, method: &Method, path: &str) -> Found {
        let Some(found) = path
            .strip_prefix(PREFIX)
            .and_then(|rest| self.0.at(rest).ok())
        else {
            return Found::NoPath;
        };
        let mut at = found.value.iter();
        let Some(endpoint) = at.find(|endpoint| endpoint.method == *method) else {
            return unserved(path, found.params.get("rest").is_some());
        };
        let decoded = |text: &str| {
            let bytes = percent_encoding::percent_decode_str(text);
            bytes.decode_utf8().ok().map(Cow::into_owned)
        };
        let parameters: Option<Vec<(String, String)>> = found
            .params
            .iter()
            .map(|(name, value)| Some((name.to_owned(), decoded(value)?)))
            .collect();
        parameters.map_or(Found::NoPath, |parameters| {
            Found::Endpoint(endpoint, parameters)
        })
    }
}

/// A method that is not served at a path. Where SCIM is spoken, it answers that in its own words.
fn unserved(path: &str, nowhere: bool) -> Found {
    let mut all = ENDPOINTS.iter();
    match all.find(|endpoint| endpoint.operation == scim::ABSENT) {
        Some(absent) if super::Api::takes_bearer(path) => {
            let why = if nowhere { "path" } else { "method" };
            Found::Endpoint(absent, vec![(why.to_owned(), String::new())])
        }
        _ => Found::NoMethod,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_endpoint_is_found_at_its_path() {
        let routes = Routes::new();
        for endpoint in ENDPOINTS {
            let path = format!("{PREFIX}{}", endpoint.path.replace(['{', '}', '*'], ""));
            let Found::Endpoint(found, _) = routes.find(&endpoint.method, &path) else {
                panic!("{path}");
            };
            assert_eq!(found.operation, endpoint.operation);
        }
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let names: BTreeSet<&str> = ENDPOINTS.iter().map(|e| e.operation).collect();
        assert_eq!(names.len(), ENDPOINTS.len());
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let routes = Routes::new();
        for path in [
            "/.kluis/v1/",
            "/.kluis/v1/nothing",
            "/.kluis/v2/identity",
            "/identity",
            "/.kluis/v1/identity/",
            "/.kluis/v1//identity",
        ] {
            assert!(
                matches!(routes.find(&Method::GET, path), Found::NoPath),
                "{path}"
            );
        }
        let other = routes.find(&Method::DELETE, "/.kluis/v1/identity");
        assert!(matches!(other, Found::NoMethod));
    }
}
