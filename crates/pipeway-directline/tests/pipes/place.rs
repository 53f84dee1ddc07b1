//! Where pairs live.

use pipeway_directline::BaseName;
use pipeway_directline::pipes::Place;

#[test]
fn a_place_reads_back() {
    let mut texts = vec!["bfv4.pipes"];
    if cfg!(unix) {
        texts.extend(["dotnet:my-site.directline", "unix:/tmp/a folder/my.pipes"]);
    }
    for text in texts {
        assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
    }
}

#[test]
fn what_is_no_base_name_is_no_place() {
    for text in ["", "..", "a.", "a/b", "dotnet:a b", &"a".repeat(79)] {
        assert!(text.parse::<Place>().is_err(), "{text}");
    }
    assert!("a".repeat(78).parse::<BaseName>().is_ok());
}

#[cfg(windows)]
#[test]
fn a_base_name_gives_two_pipes() {
    for text in ["bfv4.pipes", r"\\.\pipe\bfv4.pipes", "npipe:bfv4.pipes", "dotnet:bfv4.pipes"] {
        let place: Place = text.parse().unwrap();
        assert_eq!(place.incoming().to_string(), r"\\.\pipe\bfv4.pipes.incoming");
        assert_eq!(place.outgoing().to_string(), r"\\.\pipe\bfv4.pipes.outgoing");
    }
    assert_eq!(Place::named(&BaseName::default()).unwrap(), "bfv4.pipes".parse().unwrap());
    assert!("unix:/tmp/x".parse::<Place>().is_err());
}

#[cfg(unix)]
mod files {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::{Path, PathBuf};

    use pipeway_transport::{Endpoint, ErrorKind, local_folder};

    use super::*;

    fn paths(place: &Place) -> [PathBuf; 2] {
        [place.incoming(), place.outgoing()].map(|endpoint| match endpoint {
            Endpoint::Unix(path) => path.as_path().to_owned(),
            other => panic!("{other}"),
        })
    }

    #[test]
    fn a_base_name_gives_two_files_in_the_folder_of_local_endpoints() {
        let folder = local_folder().unwrap();
        let place = Place::named(&BaseName::default()).unwrap();
        let expected = ["bfv4.pipes.incoming", "bfv4.pipes.outgoing"].map(|name| folder.join(name));
        assert_eq!(paths(&place), expected);
    }

    #[test]
    fn the_style_of_dotnet_is_its_prefix_in_the_temporary_folder() {
        let place = Place::dotnet(&"a".parse().unwrap()).unwrap();
        let folder = std::env::temp_dir();
        let names = ["CoreFxPipe_a.incoming", "CoreFxPipe_a.outgoing"];
        assert_eq!(paths(&place), names.map(|name| folder.join(name)));
    }

    #[test]
    fn a_folder_and_a_name_are_the_same_as_their_stem() {
        let place = Place::in_folder(Path::new("/run/x"), &"a".parse().unwrap()).unwrap();
        assert_eq!(paths(&place), ["/run/x/a.incoming", "/run/x/a.outgoing"].map(PathBuf::from));
        assert_eq!(place, "unix:/run/x/a".parse().unwrap());
    }

    #[test]
    fn explicit_paths_are_taken_as_they_are() {
        let odd =
            [&b"/tmp/\\\\.\\pipe\\bfv4.pipes.incoming"[..], b"//tmp/../tmp/./x", b"/tmp/ \xff\n*?"];
        for path in odd.map(|bytes| Path::new(OsStr::from_bytes(bytes))) {
            let place = Place::of_paths(path, Path::new("/tmp/other")).unwrap();
            assert_eq!(paths(&place)[0].as_os_str(), path.as_os_str());
        }
    }

    #[test]
    fn a_relative_path_lies_in_the_current_folder() {
        let odd = r"\\.\pipe\a".to_owned();
        let place = Place::of_paths(Path::new(&odd), Path::new("b")).unwrap();
        let folder = std::env::current_dir().unwrap();
        assert_eq!(paths(&place), [folder.join(&odd), folder.join("b")]);
    }

    #[test]
    fn a_path_that_is_too_long_is_refused_with_both_lengths() {
        let limit = if cfg!(target_os = "linux") { 107 } else { 103 };
        let stem = format!("/{}", "x".repeat(limit - "/.incoming".len()));
        assert!(Place::of_stem(Path::new(&stem)).is_ok());
        let error = Place::of_stem(Path::new(&format!("{stem}x"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.is_lasting());
        let text = error.to_string();
        let (most, found) = (limit.to_string(), (limit + 1).to_string());
        assert!(text.contains(&most) && text.contains(&found), "{text}");
    }

    #[test]
    fn one_path_is_no_pair() {
        let path = Path::new("/tmp/x");
        assert!(Place::of_paths(path, path).is_err());
    }
}
