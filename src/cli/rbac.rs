//! `rbac`: what a cluster must allow, so that the server sees what triggers watch, and definitions that are resources.
//! Needs no server.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use kickoff::app::definitions::{Loader, Origin};
use kickoff::engine::definitions::grants::{ServiceAccount, definition_roles, instance_roles, roles};
use kickoff::engine::definitions::problem::render;
use kickoff::engine::definitions::writer::Instance;

use super::output::{colour, print, tell};
use super::serve::label;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder, with its subfolders
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Roles in these namespaces, for a server that serves only them; default a `ClusterRole`
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = label)]
    namespaces: Vec<String>,
    /// Also what serve needs for --definitions-from-cluster
    #[arg(long)]
    definitions_from_cluster: bool,
    /// Also Roles to read the Leases of these servers, which serve some of the same resources: /readyz names them
    #[arg(
        long,
        value_name = "NAMESPACE/INSTANCE,...",
        value_delimiter = ',',
        value_parser = instance,
        requires = "definitions_from_cluster"
    )]
    other_instances: Vec<Instance>,
    /// Whom to grant it
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = "kickoff/kickoff", value_parser = account)]
    service_account: ServiceAccount,
    /// Namespace of definitions that name none
    #[arg(long, default_value = "default", value_name = "NAME")]
    namespace: String,
}

/// Writes the Roles as YAML; exit code 1 where a definition has a problem, since what it watches is not known.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let origin = Origin::Folder(args.folder.clone());
    let mut loader = Loader::new(origin, args.namespace).without_secrets();
    let unreadable = || format!("the definitions in {} can't be read", args.folder.display());
    let (snapshot, sources) = loader.load_once().await.with_context(unreadable)?;
    let mut text = roles(&snapshot, &args.namespaces, &args.service_account);
    if args.definitions_from_cluster {
        let more = definition_roles(&args.namespaces, &args.service_account);
        text = format!("{text}---\n{more}");
    }
    if !args.other_instances.is_empty() {
        let more = instance_roles(&args.other_instances, &args.service_account);
        text = format!("{text}---\n{more}");
    }
    print(&text)?;
    if snapshot.problems.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    tell(render(&snapshot.problems, &sources, colour()).trim_end());
    Ok(ExitCode::FAILURE)
}

fn instance(text: &str) -> Result<Instance, String> {
    Instance::parse(text).ok_or_else(|| "must be NAMESPACE/INSTANCE".to_owned())
}

fn account(text: &str) -> Result<ServiceAccount, String> {
    let (namespace, name) = text.split_once('/').ok_or("must be NAMESPACE/NAME")?;
    let name = name.split('.').map(label).collect::<Result<Vec<_>, _>>()?.join(".");
    Ok(ServiceAccount { namespace: label(namespace)?, name })
}
