//! Every seed and every past finding, and a bounded and always equal number of what they become.

mod mutate;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::thread;

use super::{TARGETS, Target};
use crate::digest::sha256;
use mutate::Mutator;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files in a folder, in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// The seeds of a target: its own, and those that `seeds.txt` lends it.
fn seeds(target: &str) -> Vec<PathBuf> {
    let mut seeds = files(&repository().join("host/fuzz/seeds").join(target));
    let lent = include_str!("../../fuzz/seeds.txt");
    for line in lent.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<_> = line.split_whitespace().collect();
        let [of, folder, end] = words[..] else { panic!("not of the form TARGET FOLDER END: {line}") };
        if of == target {
            let found = files(&repository().join(folder)).into_iter();
            let found: Vec<_> = found.filter(|file| file.to_string_lossy().ends_with(end)).collect();
            assert!(!found.is_empty(), "{line}: there is no such file");
            seeds.extend(found);
        }
    }
    seeds
}

/// Plays an input. One that is a finding is kept, and said where.
fn play(target: &Target, input: &[u8], what: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.play)(input))) {
        let kept = std::env::temp_dir().join(format!("hostler-{}-{}", target.name, &sha256(input)[..16]));
        std::fs::write(&kept, input).unwrap();
        let (name, kept) = (target.name, kept.display());
        eprintln!(
            "{name} does not hold for {what}: {kept}. Once it does, that file belongs into host/fuzz/seeds/{name}"
        );
        resume_unwind(panic);
    }
}

/// How many rounds of mutated inputs are played.
fn rounds() -> u32 {
    std::env::var("HOSTLER_FUZZ_ROUNDS").map_or(1, |rounds| rounds.parse().expect("HOSTLER_FUZZ_ROUNDS is a number"))
}

fn holds(target: &Target) {
    let began = std::time::Instant::now();
    let seeds = seeds(target.name);
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    let contents: Vec<_> = seeds.iter().map(|path| std::fs::read(path).unwrap()).collect();
    for (path, content) in seeds.iter().zip(&contents) {
        play(target, content, &path.display().to_string());
    }
    play(target, b"", "nothing");
    let mut mutator = Mutator::new(&contents);
    let inputs = target.inputs * rounds();
    for number in 0..inputs {
        play(target, &mutator.next(), &format!("the mutation {number}"));
    }
    println!("{}: {} seeds and {inputs} of what they become, in {:?}", target.name, seeds.len(), began.elapsed());
}

/// Side by side, each on a thread of its own, as tests are.
#[test]
fn whatever_comes_in_the_host_keeps_its_promises() {
    let threads: Vec<_> = TARGETS.iter().map(|target| (target.name, thread::spawn(|| holds(target)))).collect();
    let ended: Vec<_> = threads.into_iter().map(|(name, thread)| (name, thread.join())).collect();
    let failed: Vec<_> = ended.iter().filter(|(_, ended)| ended.is_err()).map(|(name, _)| *name).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

/// What libFuzzer plays is what is played here. That crate is built only when it is fuzzed.
#[test]
fn every_target_is_fuzzed() {
    let folder = repository().join("host/fuzz");
    let manifest: toml::Table = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap().parse().unwrap();
    let bins = manifest["bin"].as_array().unwrap().iter();
    let bins: BTreeSet<_> = bins.map(|bin| bin["name"].as_str().unwrap().to_owned()).collect();
    let sources = files(&folder.join("fuzz_targets")).into_iter();
    let sources: BTreeSet<_> = sources.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(bins, sources);
    for Target { name, .. } in TARGETS {
        let source = std::fs::read_to_string(folder.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(source.contains(&format!("hostler::fuzzing::{name}(bytes)")), "{name}: {source}");
    }
}
