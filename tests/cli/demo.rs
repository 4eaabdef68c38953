//! `ckaprune demo`: what it carries, and that it writes over nothing. The whole run is `make demo`.

use insta::assert_snapshot;

use crate::place::Place;

#[test]
fn it_writes_into_no_folder_that_is_there() {
    let place = Place::with(&[]);
    place.write("ckaprune-demo/mine.txt", "mine");
    assert_snapshot!(place.refused("demo"));
}

#[cfg(unix)]
#[test]
fn it_prunes_what_it_carries_wherever_it_is_started() {
    let place = Place::with(&[]);
    let mut child = place
        .command()
        .args(["demo", "--output", "d", "--threads", "1", "--quiet"])
        .spawn()
        .unwrap();
    let network = place.path("d/model.pt");
    let images = place.path("d/fashion-mnist/t10k-labels-idx1-ubyte.gz");
    while !images.exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(child.try_wait().unwrap().is_none(), "it ended at once");
    }
    let _ = child.kill();
    let _ = child.wait();
    let configs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/demo");
    for (written, ours) in [
        (network, "model.pt"),
        (place.path("d/demo.json"), "demo.json"),
    ] {
        assert_eq!(
            std::fs::read(written).unwrap(),
            std::fs::read(configs.join(ours)).unwrap()
        );
    }
}
