//! The show: the demo's people use the vault over the network, with the S3 library that others
//! use, and the log is read back.

use std::path::Path;
use std::sync::Arc;

use aws_sdk_s3::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_s3::primitives::ByteStream;

use super::found::BUCKET;
use crate::app::Gateway;
use crate::app::system::{SystemClock, SystemEntropy};
use crate::cli::output::Output;
use crate::config::Config;
use crate::journal::{Filter, Pairs, Reader};
use crate::store::StoreError;
use crate::store::s3::{S3ConfigError, S3Store, S3StoreConfig};
use crate::types::SecretText;

const CSV: &[u8] = include_bytes!("../../../deploy/demo/wdbc.csv");
const ABOUT: &[u8] = include_bytes!("../../../deploy/demo/README.md");

/// What went otherwise than promised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(in crate::cli) enum ShowError {
    /// Standard output is gone.
    #[error("nobody reads the show")]
    Output,
    /// A credential's file cannot be read.
    #[error("a credential of the demo cannot be read")]
    Env(#[source] std::io::Error),
    /// The demo's own endpoint is none.
    #[error("the endpoint of the demo cannot be used")]
    Endpoint(#[from] S3ConfigError),
    /// A request failed.
    #[error("{what} failed: {why}")]
    Request {
        /// What was asked.
        what: &'static str,
        /// What the answer said.
        why: String,
    },
    /// The job read something else than the owner wrote.
    #[error("the job read other bytes than the owner wrote")]
    Differs,
    /// The stranger was not refused.
    #[error("the stranger was not refused")]
    NotRefused,
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Log(#[from] crate::journal::JournalError),
    /// The reading of the log cannot be recorded.
    #[error("the reading of the log cannot be recorded")]
    Vault(#[from] crate::vault::VaultError),
}

fn failed<E: std::error::Error + 'static, R: std::fmt::Debug>(
    what: &'static str,
) -> impl FnOnce(SdkError<E, R>) -> ShowError
where
    SdkError<E, R>: aws_sdk_s3::error::ProvideErrorMetadata + std::fmt::Display,
{
    move |error| {
        let why = error
            .code()
            .map_or_else(|| error.to_string(), str::to_owned);
        ShowError::Request { what, why }
    }
}

fn client(dir: &Path, who: &str, endpoint: &str) -> Result<aws_sdk_s3::Client, ShowError> {
    let text = std::fs::read_to_string(dir.join(format!("{who}.env"))).map_err(ShowError::Env)?;
    let value = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        lines
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
            .next_back()
    };
    let id = value("AWS_ACCESS_KEY_ID").unwrap_or_default();
    let secret = SecretText::new(value("AWS_SECRET_ACCESS_KEY").unwrap_or_default());
    let config = S3StoreConfig::new(endpoint.to_owned(), BUCKET.to_owned(), id, secret);
    let config = S3StoreConfig {
        region: "kluis".to_owned(),
        ..config
    };
    let clock = Arc::new(SystemClock);
    let store = S3Store::open(&config, clock, Arc::new(SystemEntropy::new()))?;
    Ok(store.sdk().clone())
}

/// The show is what the command is asked for: data, on standard output.
fn say(output: &mut Output, text: &str) -> Result<(), ShowError> {
    output
        .data(format!("{text}\n").as_bytes())
        .map_err(|_gone| ShowError::Output)
}

/// Uploads as the owner, reads as the job, is refused as a stranger, shows store and log.
pub(super) async fn run(
    gateway: &Gateway,
    config: &Config,
    (dir, endpoint): (&Path, &str),
    output: &mut Output,
) -> Result<(), ShowError> {
    say(
        output,
        &format!(
            "\nA vault serves at {endpoint}, all of it in {}\n",
            dir.display()
        ),
    )?;
    upload(dir, endpoint, output).await?;
    read_back(dir, endpoint, output).await?;
    refuse(dir, endpoint, output).await?;
    say(
        output,
        "\nWhat the store holds: ciphertext under random names",
    )?;
    for line in store_lines(config) {
        say(output, &format!("  {line}"))?;
    }
    say(
        output,
        "\nWhat the log holds: a record of each request, durable before its first byte left",
    )?;
    let call = crate::cli::call::local(gateway.vault(), "audit tail")?;
    gateway.vault().record_log_reading(&call, "demo").await?;
    for line in log_lines(gateway, config)? {
        say(output, &format!("  {line}"))?;
    }
    paste(dir, endpoint, output)
}

async fn upload(dir: &Path, endpoint: &str, output: &mut Output) -> Result<(), ShowError> {
    let owner = client(dir, "owner", endpoint)?;
    for (key, bytes, kind) in [
        ("wdbc.csv", CSV, "text/csv"),
        ("README.md", ABOUT, "text/markdown"),
    ] {
        let put = owner
            .put_object()
            .bucket(BUCKET)
            .key(key)
            .content_type(kind);
        put.body(ByteStream::from_static(bytes))
            .send()
            .await
            .map_err(failed("the upload"))?;
        say(
            output,
            &format!(
                "  olivia, the owner, uploads   s3://{BUCKET}/{key}  {} bytes",
                bytes.len()
            ),
        )?;
    }
    Ok(())
}

async fn read_back(dir: &Path, endpoint: &str, output: &mut Output) -> Result<(), ShowError> {
    let job = client(dir, "job", endpoint)?;
    let got = job.get_object().bucket(BUCKET).key("wdbc.csv").send().await;
    let got = got.map_err(failed("the job's read"))?.body.collect().await;
    let got = got.map_err(|error| ShowError::Request {
        what: "the job's read",
        why: error.to_string(),
    })?;
    if got.into_bytes() != CSV {
        return Err(ShowError::Differs);
    }
    say(
        output,
        &format!(
            "  job-1, for ruben, reads      s3://{BUCKET}/wdbc.csv  the same {} bytes",
            CSV.len()
        ),
    )?;
    Ok(())
}

async fn refuse(dir: &Path, endpoint: &str, output: &mut Output) -> Result<(), ShowError> {
    let stranger = client(dir, "stranger", endpoint)?;
    let got = stranger
        .get_object()
        .bucket(BUCKET)
        .key("wdbc.csv")
        .send()
        .await;
    let Err(error) = got else {
        return Err(ShowError::NotRefused);
    };
    if !was_denied(&error) {
        return Err(failed("the stranger's read")(error));
    }
    say(
        output,
        &format!("  stan, a stranger, is refused s3://{BUCKET}/wdbc.csv  AccessDenied"),
    )
}

/// Whether a 403 stands behind an error of the library.
fn was_denied(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if matches!(error.downcast_ref(), Some(StoreError::Denied)) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn store_lines(config: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    let mut folders = vec![config.store.path.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if lines.len() < 4
                && let (Some(name), Ok(bytes)) = (path.file_name(), std::fs::read(&path))
            {
                let end = bytes
                    .get(bytes.len().saturating_sub(12)..)
                    .unwrap_or_default();
                lines.push(format!(
                    "{}  {} bytes, the last of them {}",
                    name.display(),
                    bytes.len(),
                    data_encoding::HEXLOWER.encode(end)
                ));
            }
        }
    }
    lines
}

fn log_lines(gateway: &Gateway, config: &Config) -> Result<Vec<String>, ShowError> {
    let mut pairs = Pairs::new(Filter::default());
    let mut requests = Vec::new();
    for record in Reader::open(&config.journal.dir, gateway.log_key())? {
        requests.extend(pairs.push(record?));
    }
    let first = requests.len().saturating_sub(6);
    Ok(requests
        .iter()
        .skip(first)
        .map(|request| request.view().to_string())
        .collect())
}

fn paste(dir: &Path, endpoint: &str, output: &mut Output) -> Result<(), ShowError> {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let env = |who: &str| dir.join(format!("{who}.env")).display().to_string();
    say(
        output,
        &format!(
            "\nNow you. Lines ready to paste, in another terminal:\n\
         \n  set -a; . {owner}; set +a          # be olivia, the owner; also researcher, job, auditor, stranger\n\
         \n  aws s3 ls s3://{BUCKET}/\n  aws s3 cp s3://{BUCKET}/wdbc.csv -\n\
         \n  rclone lsl ':s3,provider=Other,env_auth=true,region=kluis,endpoint=\"{endpoint}\":{BUCKET}'\n\
         \n  python3 -c 'import boto3; print(boto3.client(\"s3\", region_name=\"kluis\")\
         .get_object(Bucket=\"{BUCKET}\", Key=\"wdbc.csv\")[\"Body\"].read(80))'\n\
         \n  kluis grant list demo --credentials {owner}     # with `cargo kluis` where kluis is not installed\n\
         \n  kluis --config {config} audit tail\n\
         \nIt serves until you press Ctrl-C, and goes on where it was when started again.\n",
            owner = env("owner"),
            config = dir.join("kluis.toml").display(),
        ),
    )
}
