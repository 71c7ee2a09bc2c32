//! `kluis node`: compute nodes, whose keys vouch for the jobs on them.

use data_encoding::BASE64;

use super::job_args::NodeCommand;
use super::open::{Desk, call};
use super::output::{CliError, Exit, Output};
use crate::app::create_file;
use crate::app::system::SystemEntropy;
use crate::catalog::{NodeRow, RosterKind, RosterRow, SharedCatalog};
use crate::node::NewNode;
use crate::types::{UseClass, limits};
use crate::vault::{ErrorKind, NodeDraft, VaultError};

const COLUMNS: [&str; 7] = [
    "node",
    "cluster",
    "partition",
    "uses",
    "key",
    "networks",
    "enrolled",
];

/// Runs one of its commands.
pub(super) fn run(
    command: &NodeCommand,
    desk: Desk<'_>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match command {
        NodeCommand::Init {
            name,
            endpoint,
            ca_file,
            output: file,
        } => {
            let made = NewNode::draw(name, endpoint, ca_file.as_deref(), &SystemEntropy::new())
                .map_err(|error| CliError::of(Exit::Unavailable, &error))?;
            create_file(file, made.text.expose().as_bytes(), 0o600).map_err(|error| {
                let text = format!("cannot write {}: {error}", file.display());
                CliError::new(Exit::Usage, text).hint("nothing is overwritten")
            })?;
            output.rows(["node", "key"], &[[name.clone(), made.public.clone()]])?;
            output.hint(&format!(
                "on the vault's host: `kluis node enrol {name} --cluster CLUSTER --key {}`",
                made.public
            ));
        }
        NodeCommand::Enrol {
            name,
            cluster,
            key,
            network,
            partition,
            uses,
        } => {
            desk.act(output, async |opened| {
                let draft = NodeDraft {
                    name: name.clone(),
                    cluster: cluster.clone(),
                    key: *key,
                    networks: network.clone(),
                    partition: partition.clone(),
                    uses: uses.clone(),
                };
                let call = call(opened, "node enrol")?;
                match opened.vault.enrol_node(&call, draft).await {
                    Err(error) if error.kind() == ErrorKind::Conflict => {
                        let nodes = nodes(&opened.catalog).await?;
                        Err(taken(error, (name, key), &nodes))
                    }
                    made => Ok(made?),
                }
            })?;
            output.note(&format!("{name} is a node of {cluster}"));
        }
        NodeCommand::List => {
            let catalog = desk.catalog()?;
            let nodes = super::serve::runtime()?.block_on(nodes(&catalog))?;
            let rows: Vec<_> = nodes.into_iter().map(cells).collect();
            output.rows(COLUMNS, &rows)?;
        }
        NodeCommand::Remove { name } => {
            desk.act(output, async |opened| {
                let call = call(opened, "node remove")?;
                Ok(opened.vault.remove_node(&call, name).await?)
            })?;
            output.note(&format!("nothing is believed of {name} any more"));
        }
    }
    Ok(Exit::Done)
}

/// All nodes that are enrolled, by name.
async fn nodes(catalog: &SharedCatalog) -> Result<Vec<(String, NodeRow)>, CliError> {
    let mut nodes = Vec::new();
    let mut after = String::new();
    loop {
        let most = limits::PAGE_ENTRIES_MAX;
        let page = catalog.roster_page(RosterKind::Node, &after, most).await?;
        let Some((last, _)) = page.last() else {
            return Ok(nodes);
        };
        after.clone_from(last);
        nodes.extend(page.into_iter().filter_map(|(name, entry)| {
            let RosterRow::Node(row) = entry.row else {
                return None;
            };
            Some((name, row))
        }));
    }
}

/// Why a node cannot be enrolled that is one, or whose key is another's.
fn taken(
    error: VaultError,
    (name, key): (&str, &[u8; 32]),
    nodes: &[(String, NodeRow)],
) -> CliError {
    let told = CliError::from(error);
    if let Some((_, row)) = nodes.iter().find(|(other, _)| other == name) {
        let cluster = &row.cluster;
        return told.hint(format!(
            "{name} is a node of {cluster}: to enrol it anew, `kluis node remove {name}` first, \
             which ends the sessions of its jobs"
        ));
    }
    match nodes.iter().find(|(_, row)| row.key == *key) {
        Some((other, _)) => told.hint(format!(
            "it is the key of {other}: `kluis node init {name}` on {name} makes its own"
        )),
        None => told.hint("try again"),
    }
}

fn cells((name, row): (String, NodeRow)) -> [String; 7] {
    let networks: Vec<String> = row.networks.iter().map(ToString::to_string).collect();
    let uses: Vec<&str> = row.uses.iter().map(UseClass::as_str).collect();
    [
        name,
        row.cluster,
        row.partition
            .map_or_else(String::new, |name| name.to_string()),
        uses.join(" "),
        BASE64.encode(&row.key),
        networks.join(" "),
        row.enrolled.to_string(),
    ]
}
