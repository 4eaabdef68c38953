//! Archives with random damage, the same ones in every run: whatever the bytes are, reading ends in good time and
//! within little memory, with an answer or one error.
//!
//! Half of the damage is done to the file as it lies, the other half to what its entries unpack to, which are packed
//! again with right checksums: only so it reaches the readers behind the zip.

mod common;

use std::io::{Cursor, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use ckaprune::archive::{Archive, Limits};
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::report::BlockReport;
use ckaprune::report::tree;
use peak_alloc::PeakAlloc;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use common::{Entries, archives, entries, files, fixture};

const MUTATIONS: u64 = 5_000;
/// Far beyond what any of these small files takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Of all threads together, which read files of at most 40 KB: many times what they take.
const MEGABYTES: f32 = 64.;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

fn packed(entries: &Entries) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in entries {
        zip.start_file(name.as_str(), stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// One to four changes of a few bytes each.
fn damage(bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    for _ in 0..rng.random_range(1..=4) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.random_range(0..bytes.len());
        let end = (at + rng.random_range(1..=16)).min(bytes.len());
        match rng.random_range(0..8) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = rng.random(),
            // Ends of ranges are where sums overflow.
            2 => bytes[at..end].fill(0xff),
            3 => bytes[at..end].fill(0),
            4 => drop(bytes.drain(at..end)),
            5 => {
                let again = bytes[at..end].to_vec();
                let place = rng.random_range(0..=bytes.len());
                bytes.splice(place..place, again);
            }
            6 => bytes.truncate(at),
            _ => {
                // What other places hold is more often meaningful than chance.
                let from = rng.random_range(0..bytes.len());
                bytes[at] = bytes[from];
            }
        }
    }
}

fn mutated(original: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    if rng.random() {
        let mut bytes = original.to_vec();
        damage(&mut bytes, rng);
        return bytes;
    }
    let mut entries = entries(original);
    // Weights are numbers: no byte of them is wrong.
    let read = |name: &str| !name.contains("/data/") && !name.contains("/constants/");
    let places: Vec<usize> = (0..entries.len())
        .filter(|at| read(&entries[*at].0))
        .collect();
    let at = places[rng.random_range(0..places.len())];
    damage(&mut entries[at].1, rng);
    packed(&entries)
}

/// Everything `inspect` does with a file.
fn read(bytes: Vec<u8>) {
    let Ok(archive) = Archive::from_bytes(bytes, &Limits::default()) else {
        return;
    };
    let request = Request::shape(&common::FIXTURE_INPUT);
    let Ok(analysis) = Analysis::of(&archive, &request) else {
        return;
    };
    let blocks = BlockReport::all(&analysis);
    let _ = serde_json::to_string(&blocks);
    let _ = analysis.macs();
    let _ = tree::tree(&analysis).table();
    let _ = archive.to_bytes();
}

#[test]
fn damaged_archives_end_in_an_answer_or_an_error() {
    let archives = archives();
    let small = archives.iter().map(|path| std::fs::read(path).unwrap());
    damaged(small.filter(|bytes| bytes.len() < 40_000).collect());
}

#[test]
fn damaged_programs_end_in_an_answer_or_an_error() {
    let programs = files(&fixture("exported"), "pt2");
    damaged(
        programs
            .iter()
            .map(|path| std::fs::read(path).unwrap())
            .collect(),
    );
}

/// Damages these files, each of the times another one.
fn damaged(originals: Vec<Vec<u8>>) {
    let workers = thread::available_parallelism().map_or(2, |n| n.get() as u64);
    let check = |worker: u64| {
        for number in (worker..MUTATIONS).step_by(workers as usize) {
            let mut rng = ChaCha8Rng::seed_from_u64(number);
            let original = &originals[rng.random_range(0..originals.len())];
            let bytes = mutated(original, &mut rng);
            let begun = Instant::now();
            let survived = catch_unwind(AssertUnwindSafe(|| read(bytes))).is_ok();
            assert!(survived, "mutation {number} is not read but panics");
            let took = begun.elapsed();
            assert!(took < PATIENCE, "mutation {number} took {took:?}");
            let peak = MEMORY.peak_usage_as_mb();
            assert!(peak < MEGABYTES, "mutation {number} took {peak} MB");
        }
    };
    thread::scope(|scope| {
        for worker in 0..workers {
            scope.spawn({
                let check = &check;
                move || check(worker)
            });
        }
    });
    println!("at most {} MB", MEMORY.peak_usage_as_mb());
}
