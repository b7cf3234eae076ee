//! The machine against seeded histories of crashes, duplicates, reorderings and clock jumps.
//!
//! A history is a list of things that happen to a small world, chosen by a seed: events come in (some
//! twice), people run and cancel, definitions are edited, the clock jumps, commits fail or are not
//! known to have happened, the process dies at any point. Then the world is left alone until nothing
//! happens any more, and what is kept must add up. `KICKOFF_SEED=N` runs one history alone and tells
//! what happened in it.

mod checks;
mod definitions;
mod gates;
mod series;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use world::World;

/// How many histories: 10,000 in the long form, and in the short one a tenth, as more don't fit into some minutes.
fn histories() -> u64 {
    if std::env::var_os("KICKOFF_SOAK").is_some() { 10_000 } else { 1_000 }
}

fn run(seed: u64, verbose: bool) -> Result<(), String> {
    let mut world = World::new(seed, verbose);
    world.live()?;
    world.drain()?;
    checks::all_adds_up(&world)
}

#[test]
fn every_history_adds_up() {
    if let Some(seed) = std::env::var_os("KICKOFF_SEED") {
        let seed = seed.to_string_lossy().parse().expect("KICKOFF_SEED is a number");
        if let Err(broken) = run(seed, true) {
            panic!("history {seed}: {broken}");
        }
        return;
    }
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= histories() {
                            return None;
                        }
                        if seed > 0 && seed.is_multiple_of(1_000) {
                            println!("{seed} histories were begun");
                        }
                        let outcome = std::panic::catch_unwind(|| run(seed, false));
                        let broken = match outcome {
                            Ok(Ok(())) => continue,
                            Ok(Err(broken)) => broken,
                            Err(_) => "it panicked".to_owned(),
                        };
                        next.store(histories(), Ordering::Relaxed);
                        return Some(format!(
                            "{broken}\nalone: KICKOFF_SEED={seed} cargo test --test suites simulation"
                        ));
                    }
                })
            })
            .collect();
        for worker in workers {
            if let Some(broken) = worker.join().expect("a worker ends") {
                panic!("{broken}");
            }
        }
    });
}
