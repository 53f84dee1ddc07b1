//! The fuzz targets over their corpora, as ordinary tests: what a fuzzer once found stays found.

#[path = "../../../../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;

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
fn endpoints_read_back() {
    over_the_corpus("endpoint", targets::endpoint);
}

#[test]
fn heads_of_requests_are_read_as_others_read_them() {
    over_the_corpus("request_head", targets::request_head);
}

#[test]
fn heads_of_answers_are_passed_on_with_one_meaning() {
    over_the_corpus("answer_head", targets::answer_head);
}

#[test]
fn chunked_bodies_end_where_others_see_their_end() {
    over_the_corpus("chunked", targets::chunked);
}

#[test]
fn frames_are_read_alike_in_one_piece_and_in_many() {
    over_the_corpus("mux_frames", targets::mux_frames);
}

#[test]
fn a_multiplexed_connection_keeps_the_order_of_its_channels_lives() {
    over_the_corpus("mux_connection", targets::mux_connection);
}
