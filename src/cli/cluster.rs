//! `kluis node`: compute nodes, whose keys vouch for the jobs on them.

use data_encoding::BASE64;

use super::job_args::NodeCommand;
use super::open::{Desk, call};
use super::output::{CliError, Exit, Output};
use crate::app::create_file;
use crate::app::system::SystemEntropy;
use crate::catalog::{RosterKind, RosterRow};
use crate::node::NewNode;
use crate::types::{UseClass, limits};
use crate::vault::NodeDraft;

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
                Ok(opened.vault.enrol_node(&call, draft).await?)
            })?;
            output.note(&format!("{name} is a node of {cluster}"));
        }
        NodeCommand::List => {
            let catalog = desk.catalog()?;
            let rows = super::serve::runtime()?.block_on(async {
                let mut rows = Vec::new();
                let mut after = String::new();
                loop {
                    let most = limits::PAGE_ENTRIES_MAX;
                    let page = catalog.roster_page(RosterKind::Node, &after, most).await?;
                    let Some((last, _)) = page.last() else {
                        return Ok::<_, CliError>(rows);
                    };
                    after.clone_from(last);
                    rows.extend(page.into_iter().filter_map(cells));
                }
            })?;
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

fn cells((name, entry): (String, crate::catalog::RosterEntry)) -> Option<[String; 7]> {
    let RosterRow::Node(row) = entry.row else {
        return None;
    };
    let networks: Vec<String> = row.networks.iter().map(ToString::to_string).collect();
    let uses: Vec<&str> = row.uses.iter().map(UseClass::as_str).collect();
    Some([
        name,
        row.cluster,
        row.partition
            .map_or_else(String::new, |name| name.to_string()),
        uses.join(" "),
        BASE64.encode(&row.key),
        networks.join(" "),
        row.enrolled.to_string(),
    ])
}
