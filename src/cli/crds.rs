//! `crds`: the definitions as resources of a cluster, for `kubectl apply -f -`. Needs no server.

use std::process::ExitCode;

use kickoff::engine::definitions::crd::crds;

use super::output::print;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Writes a `CustomResourceDefinition` of each kind, as documents of one YAML stream.
pub(crate) fn run(_: &Args) -> anyhow::Result<ExitCode> {
    let documents: Vec<String> = crds().iter().map(serde_saphyr::to_string).collect::<Result<_, _>>()?;
    print(&documents.join("---\n"))?;
    Ok(ExitCode::SUCCESS)
}
