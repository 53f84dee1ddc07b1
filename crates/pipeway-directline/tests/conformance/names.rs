//! Names and URLs: 1 to 5, 8, 9, 114, 126, and the paths of 113 and 148.

use pipeway_directline::service_url::{Activities, is_pipe_url, path_of_url};
use pipeway_directline::{BaseName, code};

fn refused(name: &str) {
    let error = name.parse::<BaseName>().expect_err(name);
    assert_eq!(error.code(), Some(code::NAME_INVALID), "{name:?}");
    assert!(error.to_string().starts_with("[-180010] - "), "{error}");
}

#[test]
fn case_1_n01_sound_names_are_taken() {
    let longest = "a".repeat(78);
    for name in ["bfv4.pipes", "my-custom_pipe.1", &longest, "a", ".a", "-", "_", "CON"] {
        assert_eq!(name.parse::<BaseName>().unwrap().as_str(), name);
    }
}

#[test]
fn case_2_n02_and_case_3_n03_other_names_are_refused() {
    let too_long = "a".repeat(79);
    let unsound = ["", "..", "../escape", "escape/name", r"escape\name", " pipe", "pipe "];
    unsound.into_iter().for_each(refused);
    ["pipe$name", &too_long, "a..b", "a b", "a\tb", "a\n", "a\0", "é"]
        .into_iter()
        .for_each(refused);
}

#[test]
fn case_4_n04_a_name_that_ends_with_a_dot_is_refused() {
    ["a.", "."].into_iter().for_each(refused);
}

#[test]
fn case_5_n05_blanks_are_no_name_and_no_name_is_the_usual_one() {
    ["  ", "\u{a0}"].into_iter().for_each(refused);
    assert_eq!(BaseName::default().as_str(), "bfv4.pipes");
    assert_eq!("bfv4.pipes".parse::<BaseName>().unwrap(), BaseName::default());
}

#[test]
fn case_8_p01_and_case_9_p02_the_prefix_tells_a_pipes_url() {
    for url in [
        "urn:botframework:namedpipe:bfv4.pipes",
        "urn:botframework:namedpipe:",
        "URN:botframework:namedpipe:X",
    ] {
        assert!(is_pipe_url(url), "{url}");
    }
    for url in [
        "urn:botframework:namedpipe",
        "urn:botframework:namedpipes:x",
        "urn:botframework:other",
        "urn:ietf:rfc:2648",
        "https://host/?x=urn:botframework:namedpipe:y",
        "",
        "urn:botframework:namedpipé:",
    ] {
        assert!(!is_pipe_url(url), "{url}");
    }
}

fn activities(conversation: &str, activity: Option<&str>) -> Activities {
    Activities { conversation: conversation.into(), activity: activity.map(Into::into) }
}

#[test]
fn case_113_o01_replies_and_sends_have_their_paths() {
    let reply = activities("conv1", Some("in1"));
    assert_eq!(reply.to_path(), "/v3/conversations/conv1/activities/in1");
    assert_eq!(activities("conv1", None).to_path(), "/v3/conversations/conv1/activities");
}

#[test]
fn case_114_o03_the_parts_of_a_path_are_percent_encoded() {
    assert_eq!(activities("a b/c", None).to_path(), "/v3/conversations/a%20b%2Fc/activities");
    for odd in ["a b/c", "x/v3/y", "100%", "a+b", "ä|1", "a/activities/b", "?q"] {
        let both = activities(odd, Some(odd));
        assert_eq!(Activities::parse(&both.to_path()), Some(both), "{odd}");
    }
}

#[test]
fn case_148_k07_paths_are_read_as_far_as_they_go() {
    for (path, conversation, activity) in [
        ("/v3/conversations/c/activities", "c", None),
        ("/v3/conversations/c/activities/", "c", None),
        ("/v3/conversations/c/activities/a", "c", Some("a")),
        ("/v3/conversations/a b/c%20d+e/activities/1%2F2", "a b/c d+e", Some("1/2")),
        ("/v3/conversations/c/activities/a?isTargetedActivity=true", "c", Some("a")),
        ("/v3/conversations/x/activities/y/activities/z", "x/activities/y", Some("z")),
        ("/v3/conversations/50%/activities", "50%", None),
        ("/v3/conversations/%ff/activities", "%ff", None),
    ] {
        assert_eq!(Activities::parse(path), Some(activities(conversation, activity)), "{path}");
    }
    for path in [
        "/v3/conversations",
        "/v3/conversations//activities",
        "/v3/conversations/c/activities/a/members",
        "/v3/conversations/c/activitiesx",
        "/api/messages",
        "",
    ] {
        assert_eq!(Activities::parse(path), None, "{path}");
    }
}

#[test]
fn case_126_o15_a_url_leads_to_what_begins_at_its_v3() {
    let url = "urn:botframework:namedpipe:x/V3/conversations/v3/y?pageSize=1";
    assert_eq!(path_of_url(url), Some("/V3/conversations/v3/y?pageSize=1"));
    assert_eq!(path_of_url("urn:botframework:namedpipe:x"), None);
}
