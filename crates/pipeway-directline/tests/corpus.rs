//! The fuzz targets over their corpora: what a fuzzer once found stays found.

#[path = "../../../fuzz/src/directline_connection.rs"]
mod directline_connection;
#[path = "../../../fuzz/src/directline_frames.rs"]
mod directline_frames;

use std::path::Path;

use pipeway_directline::{Connection, Limits, Pace};

/// Runs `target` over each file of its corpus, and names the file that fails.
fn over_the_corpus(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).expect("a corpus") {
        let path = entry.expect("an entry").path();
        let input = std::fs::read(&path).expect("a file");
        if std::panic::catch_unwind(|| target(&input)).is_err() {
            panic!("{name} fails on {}", path.display());
        }
        files += 1;
    }
    assert!(files >= 30, "{files} files in {}", folder.display());
}

#[test]
fn bytes_are_read_alike_in_one_piece_and_in_many() {
    over_the_corpus("directline_frames", directline_frames::directline_frames);
}

#[test]
fn a_session_keeps_the_order_of_its_messages() {
    over_the_corpus("directline_connection", directline_connection::directline_connection);
}

#[test]
fn the_marked_id_of_the_fuzz_target_is_one() {
    let now = std::time::Instant::now();
    let mut end = Connection::new(Limits::agent(), now).expect("they are sound");
    let greeting = format!("C.000000.{}.1\n", directline_connection::MARKED);
    end.receive(greeting.into(), now);
    assert_eq!(end.pace(), Pace::Modern);
}
