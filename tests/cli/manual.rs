use crate::place::Place;

#[test]
fn every_shell_is_told_every_command() {
    let place = Place::with(&[]);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.done(&format!("completions {shell}")).stdout;
        for word in ["inspect", "remove", "input-size"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let place = Place::with(&[]);
    place.done("man --output pages");
    for page in ["ckaprune.1", "ckaprune-inspect.1", "ckaprune-remove.1"] {
        let text = String::from_utf8(place.read(&format!("pages/{page}"))).unwrap();
        assert!(
            text.contains(".TH") && text.contains(".SH"),
            "{page}: {text}"
        );
    }
    assert!(place.done("man").stdout.contains(".TH ckaprune"));
}
