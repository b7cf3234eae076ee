//! What changed, by an event's data: the files of a push, and whether its branch is gone.
//!
//! Read when a trigger asks, from the data that is parsed then anyway. Where a payload can't tell, it
//! says so and why: who filters by files must not miss a change because of it.

use serde_json::Value;

/// What an event's data says about the references that changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Set where a push deleted what it names, for instance `branch old`: there is no commit to test.
    pub deleted: Option<String>,
    /// Every branch that a push moved, where it may be more than that of `git`.
    pub branches: Vec<String>,
}

/// The files that a push added, removed or modified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    /// Those that are listed.
    pub listed: Vec<String>,
    /// Why there may be more, where there may.
    pub untold: Option<String>,
}

impl Change {
    /// What `data`, of an event of this type, says.
    pub fn of(event_type: &str, data: &Value) -> Self {
        match event_type {
            "com.github.push" | "com.gitea.push" | "com.gitlab.push" | "com.gitlab.tag_push" => {
                Self { deleted: deleted(data), branches: Vec::new() }
            }
            "com.bitbucket.repo.push" => bitbucket(data),
            _ => Self::default(),
        }
    }
}

impl Paths {
    /// What `data`, of an event of this type, says.
    pub fn of(event_type: &str, data: &Value) -> Self {
        match event_type {
            "com.github.push" => github(data),
            "com.gitea.push" => gitea(data),
            "com.gitlab.push" | "com.gitlab.tag_push" => gitlab(data),
            "com.bitbucket.repo.push" => Self::untold("Bitbucket lists no files"),
            _ if event_type.contains("request") => Self::untold("a pull request lists no files"),
            _ => Self::untold("this event lists no files"),
        }
    }

    fn untold(why: impl Into<String>) -> Self {
        Self { listed: Vec::new(), untold: Some(why.into()) }
    }

    /// Of a push that has this many commits in all, where it says so.
    fn of_commits(data: &Value, total: Option<u64>) -> Self {
        let Some(commits) = data["commits"].as_array() else {
            return Self::untold("the push lists no commits");
        };
        let mut paths = Self::default();
        for commit in commits {
            let lists = ["added", "removed", "modified"].map(|field| commit[field].as_array());
            if lists.iter().any(Option::is_none) {
                paths.untold = Some("a commit of the push does not list all its files".to_owned());
            }
            let files = lists.into_iter().flatten().flatten().filter_map(Value::as_str);
            paths.listed.extend(files.map(str::to_owned));
        }
        if commits.is_empty() {
            paths.untold = Some("the push lists no commits".to_owned());
        } else if let Some(total) = total.filter(|total| *total > commits.len() as u64) {
            paths.untold = Some(format!("the push lists {} of {total} commits", commits.len()));
        }
        paths
    }

    fn unless(self, untold: bool, why: &str) -> Self {
        if untold { Self { untold: Some(why.to_owned()), ..self } } else { self }
    }
}

/// GitHub lists up to 2,048 commits; a push by force also drops some, which it doesn't list.
fn github(data: &Value) -> Paths {
    const MOST: usize = 2_048;
    let all = data["commits"].as_array().is_some_and(|commits| commits.len() >= MOST);
    Paths::of_commits(data, None)
        .unless(all, "the push lists up to 2048 commits and may have more")
        .unless(data["forced"] == true, "the push was forced: what it dropped is not listed")
}

/// GitLab lists up to 20 commits and tells how many there are.
fn gitlab(data: &Value) -> Paths {
    Paths::of_commits(data, data["total_commits_count"].as_u64())
}

/// Gitea lists as many as its administrator allows and tells how many there are; of a new branch it
/// lists the last few, whatever was there before.
fn gitea(data: &Value) -> Paths {
    let new = data["before"].as_str().is_some_and(zeros);
    let paths = Paths::of_commits(data, data["total_commits"].as_u64());
    paths.unless(new, "the branch is new: what it changes is not listed")
}

/// One push may move several references.
fn bitbucket(data: &Value) -> Change {
    let changes = data["push"]["changes"].as_array().map_or(&[][..], Vec::as_slice);
    let of = |change: &Value, side: &str| {
        let name = change[side]["name"].as_str()?;
        let kind = if change[side]["type"].as_str()?.contains("tag") { "tag" } else { "branch" };
        Some((kind, name.to_owned()))
    };
    let left = || changes.iter().filter_map(|change| of(change, "new"));
    let gone = changes.iter().find_map(|change| of(change, "old"));
    Change {
        deleted: gone
            .filter(|_| changes.iter().all(|change| change["new"].is_null()))
            .map(|(kind, name)| format!("{kind} {name}")),
        branches: left().filter(|(kind, _)| *kind == "branch").map(|(_, name)| name).collect(),
    }
}

/// What a push deleted: the commit after it is all zeros, or it says so itself.
fn deleted(data: &Value) -> Option<String> {
    let gone = data["deleted"] == true || data["after"].as_str().is_some_and(zeros);
    let reference = data["ref"].as_str().unwrap_or_default();
    gone.then(|| match (reference.strip_prefix("refs/heads/"), reference.strip_prefix("refs/tags/")) {
        (Some(branch), _) => format!("branch {branch}"),
        (_, Some(tag)) => format!("tag {tag}"),
        _ => format!("reference {reference}"),
    })
}

fn zeros(sha: &str) -> bool {
    !sha.is_empty() && sha.bytes().all(|b| b == b'0')
}
