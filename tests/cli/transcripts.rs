//! The transcripts in texts: their lines read as what the program prints today, figures aside.

use std::fs;
use std::path::Path;

use crate::place::{Place, Said};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The images of a place, and no more time than needed.
const DATA: &str = "--data data.npz --mean 0.5 --std 0.25 --device cpu --threads 2";

/// The lines of the transcript in this text that begins with these words, the command itself left out.
fn transcript(text: &str, begin: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(ROOT).join(text)).unwrap();
    let blocks: Vec<&str> = text.split("```text\n").skip(1).collect();
    let block = blocks.iter().find(|block| block.starts_with(begin));
    let block = block.unwrap_or_else(|| panic!("no transcript begins with {begin}"));
    let lines = block.split("```").next().unwrap().lines();
    // A command may go on over several lines.
    let mut goes_on = true;
    let rest = lines.skip_while(|line| std::mem::replace(&mut goes_on, line.ends_with('\\')));
    rest.map(form).collect()
}

/// A line without its figures: whatever holds a digit, or stands in place of one, is 0.
fn form(line: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in line.split_whitespace() {
        let word = match word {
            "-" => "0",
            "→" | "%" | "%," | "KB" | "MB" => continue,
            file if file.ends_with(".pt") => "0",
            rule if rule.starts_with('─') => "─",
            number if number.contains(|c: char| c.is_ascii_digit()) => "0",
            word => word,
        };
        if word != "0" || words.last() != Some(&"0") {
            words.push(word);
        }
    }
    words.join(" ")
}

/// Whether figures decide that the line is there at all.
fn is_of_chance(form: &str) -> bool {
    let ways_to_end = [
        "no epoch did clearly better",
        "fine-tuned for 0 epochs more",
    ];
    form.contains("(rolled back)") || ways_to_end.iter().any(|begin| form.starts_with(begin))
}

fn assert_prints(said: &Said, recorded: &[String]) {
    let printed: Vec<String> = [&said.stdout, &said.stderr]
        .into_iter()
        .flat_map(|text| text.lines().map(form))
        .collect();
    let recorded = recorded.iter().filter(|form| !is_of_chance(form));
    let rotten: Vec<&String> = recorded.filter(|form| !printed.contains(form)).collect();
    assert!(rotten.is_empty(), "{rotten:#?}\nare not in\n{printed:#?}");
}

fn config(name: &str) -> String {
    Path::new(ROOT)
        .join("configs")
        .join(name)
        .display()
        .to_string()
}

#[test]
fn the_demo_prints_what_the_readme_shows() {
    let mut recorded = transcript("README.md", "$ make demo");
    // The command that make runs, and what the demo says of its own files behind the run.
    recorded.remove(0);
    let end = recorded.iter().position(|form| form == "What to try next:");
    recorded.truncate(end.unwrap());
    let place = Place::with_data(&["basic_scripted.pt"]);
    place.write(
        "target/demo/demo.json",
        fs::read(config("demo/demo.json")).unwrap(),
    );
    let said = place.done(&format!(
        "prune --config target/demo/demo.json {DATA} --model basic_scripted.pt --iterations 1 --epochs 2 \
         --output target/demo/pruned.pt --report target/demo/report.html"
    ));
    assert_prints(&said, &recorded);
}

#[test]
fn the_recipes_print_what_their_chapter_shows() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    for (name, begin, more) in [
        (
            "fashion-mnist.json",
            "$ make fashion-mnist",
            "--pretrain 1 --target-macs 0.95 --max-drop 100 --final-epochs 1 --retries 0",
        ),
        (
            "few-images.json",
            "$ ckaprune prune --config configs/few-images.json",
            "--iterations 1 --epochs 2",
        ),
    ] {
        let said = place.done(&format!(
            "prune --config {} {DATA} --model basic_scripted.pt --output pruned.pt --force {more}",
            config(name)
        ));
        assert_prints(&said, &transcript("configs/README.md", begin));
    }
}

#[test]
fn a_measure_of_ones_own_prints_what_its_recipe_shows() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let words = format!(
        "prune --model basic_scripted.pt {DATA} --target-macs 0.95 --criterion recoverability --epochs 0 --metric IoU"
    );
    let mut words: Vec<&str> = words.split_whitespace().collect();
    words.extend(["--measure-with", "echo 0.5 # {model}"]);
    let said = place.run_words(&words);
    assert_eq!(said.code, 0, "{said:?}");
    let begin = "$ ckaprune prune --model shapes/network.pt";
    assert_prints(&said, &transcript("configs/README.md", begin));
}

#[test]
fn compare_prints_what_its_chapter_shows() {
    let place = Place::with(&[]);
    place.write("model.pt", fs::read(config("demo/model.pt")).unwrap());
    let said = place.done(&format!(
        "compare model.pt model.pt --data {} --mean 0.286 --std 0.353 --device cpu --threads 2 --passes 3",
        config("demo/fashion-mnist")
    ));
    let recorded = transcript("src/cli/help/measuring.md", "$ ckaprune compare");
    assert_prints(&said, &recorded);
}
