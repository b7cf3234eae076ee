//! What the README tells people to type.

use std::process::Command;

use regex::Regex;

/// The commands of all `sh` blocks, continuation lines joined, comments left out.
fn commands(readme: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for block in readme.split("```sh\n").skip(1) {
        let block = block.split("```").next().unwrap().replace("\\\n", " ");
        for line in block.lines() {
            let line = line.split(" # ").next().unwrap().trim();
            commands
                .extend(line.split(';').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()));
        }
    }
    commands
}

/// The arguments of a command line of ours; nothing where it is another program's.
fn arguments(command: &str) -> Option<Vec<&str>> {
    let ours = ["kickoff ", "cargo run --release -- "];
    let rest = ours.iter().find_map(|start| command.strip_prefix(start))?;
    Some(rest.split_whitespace().collect())
}

fn help(verb: &str) -> String {
    let mut kickoff = Command::new(env!("CARGO_BIN_EXE_kickoff"));
    let output = kickoff.args([verb, "--help"]).output().unwrap();
    assert!(output.status.success(), "kickoff {verb} --help: {}", String::from_utf8_lossy(&output.stderr));
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("Usage: kickoff"), "kickoff {verb} --help: {help:?}");
    help
}

/// Whether the help of a verb lists an option, not only a part of its name.
fn lists(help: &str, option: &str) -> bool {
    let name = option.split('=').next().unwrap();
    Regex::new(&format!(r"(^|\s){}([\s,=]|$)", regex::escape(name))).unwrap().is_match(help)
}

#[test]
fn every_command_of_the_readme_exists() {
    let commands = commands(&super::read("README.md"));
    let ours: Vec<_> = commands.iter().filter_map(|command| arguments(command)).collect();
    assert!(ours.len() >= 10, "only {} commands found: {commands:#?}", ours.len());
    for words in ours {
        let help = help(words[0]);
        for option in words[1..].iter().filter(|word| word.starts_with('-')) {
            assert!(lists(&help, option), "kickoff {} has no {option}:\n{help}", words[0]);
        }
    }
}

#[test]
fn every_verb_of_the_readme_exists() {
    let readme = super::read("README.md");
    let verbs = Regex::new(r"(?m)^\| `kickoff (\w+)").unwrap();
    let verbs: Vec<_> = verbs.captures_iter(&readme).map(|found| found[1].to_owned()).collect();
    assert!(verbs.len() >= 14, "{verbs:?}");
    for verb in verbs {
        help(&verb);
    }
}

#[test]
fn every_file_that_the_readme_names_is_there() {
    let readme = super::read("README.md");
    let named =
        Regex::new(r"\]\(([^)#:]+)\)|(?:^|[\s@`])((?:\./)?(?:deploy|examples|triggers|tests)/[\w./-]+)")
            .unwrap();
    let mut count = 0;
    for found in named.captures_iter(&readme) {
        let path = found.get(1).or_else(|| found.get(2)).unwrap().as_str();
        assert!(super::project(path).exists(), "{path} is not there");
        count += 1;
    }
    assert!(count >= 10, "only {count} found");
}

#[test]
fn an_option_that_is_only_a_part_of_another_is_not_listed() {
    let help = "  -f, --follow\n      --once  ends\n      --listen <ADDR>";
    for (option, listed) in
        [("-f", true), ("--once", true), ("--listen", true), ("--on", false), ("--foll", false)]
    {
        assert_eq!(lists(help, option), listed, "{option}");
    }
}
