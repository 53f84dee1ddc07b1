//! The header: 10 to 29.

use pipeway_directline::{
    Header, HeaderDefect, Id, Kind, Limits, PayloadLength, Strictness, Warning, code,
};

use crate::rig::{MS, Rig, a, frame, id, s, stream};

const WRITTEN: &[u8; 48] = b"A.001024.12345678-1234-1234-1234-123456789abc.1\n";

fn sound() -> Header {
    Header {
        kind: Kind::Request,
        length: PayloadLength::try_from(1024).unwrap(),
        id: "12345678-1234-1234-1234-123456789abc".parse().unwrap(),
        end: true,
    }
}

/// The sound header with other bytes from `at` on.
fn altered(at: usize, bytes: &[u8]) -> [u8; 48] {
    let mut header = *WRITTEN;
    header[at..at + bytes.len()].copy_from_slice(bytes);
    header
}

fn closes(header: &[u8; 48]) {
    let mut rig = Rig::new();
    rig.receive(header);
    rig.is_closed(code::HEADER_INVALID);
}

#[test]
fn case_10_h01_a_header_is_written_byte_for_byte() {
    assert_eq!(&sound().encode().unwrap(), WRITTEN);
}

#[test]
fn case_11_h02_headers_read_back() {
    let kinds = [Kind::Request, Kind::Response, Kind::Stream, Kind::CancelAll, Kind::CancelStream];
    let lengths = [0, 1, 2, 10, 42, 100, 1000, 4096, 10_000, 100_000, 999_998, 999_999];
    for (kind, length, end) in kinds
        .into_iter()
        .flat_map(|kind| lengths.map(|length| (kind, length)))
        .flat_map(|(kind, length)| [true, false].map(|end| (kind, length, end)))
    {
        let length = PayloadLength::try_from(length).unwrap();
        let header = Header { kind, length, end, ..sound() };
        assert_eq!(Header::decode(&header.encode().unwrap()), Ok(header));
    }
}

#[test]
fn case_12_h03_what_cannot_be_read_is_not_written() {
    for length in [1_000_000, usize::MAX] {
        assert_eq!(PayloadLength::try_from(length), Err(HeaderDefect::Length));
    }
    assert_eq!("".parse::<Id>().unwrap_err().code(), Some(code::INVALID_ATTACHMENT_ID));
    let unknown = Header { kind: Kind::Unknown(b'Z'), ..sound() };
    assert_eq!(unknown.encode(), Err(HeaderDefect::Kind));
}

#[test]
fn case_13_h04_flag_terminator_and_digits_have_their_places() {
    let length = PayloadLength::try_from(999_999).unwrap();
    let (last, more) = (Header { length, ..sound() }, Header { end: false, ..sound() });
    assert_eq!(last.encode().unwrap()[46..], *b"1\n");
    assert_eq!(more.encode().unwrap()[46..], *b"0\n");
    assert_eq!(&last.encode().unwrap()[2..8], b"999999");
}

#[test]
fn case_14_h05_fewer_bytes_are_no_header() {
    assert_eq!(Header::decode(&WRITTEN[..47]), Err(HeaderDefect::Size));
    assert_eq!(Header::decode(&altered(2, b"000042")).unwrap().length.bytes(), 42);
}

#[test]
fn case_15_h20_to_h22_a_missing_dot_closes() {
    [1, 8, 45].into_iter().for_each(|at| closes(&altered(at, b",")));
}

#[test]
fn case_16_h23_and_case_17_h24_a_bad_flag_or_terminator_closes() {
    closes(&altered(46, b"2"));
    closes(&altered(47, b"\r"));
}

#[test]
fn case_18_h25_to_case_20_h27_a_length_is_six_digits() {
    for length in [b"00ab12", b"-00001", b"     0", b"+00012", b"0x0010", b"0001e3"] {
        closes(&altered(2, length));
    }
}

#[test]
fn case_21_h28_and_case_22_h29_an_id_is_a_guid() {
    closes(&altered(9, &[b' '; 36]));
    closes(&altered(9, b"not-a-guid--------------------------"));
    closes(&altered(9, b"12345678123412341234123456789abc    "));
    closes(&altered(9, &[0xb1]));
}

#[test]
fn case_23_h30_h31_an_unknown_type_is_passed_over() {
    for kind in ['Z', 'a'] {
        let mut rig = Rig::new();
        rig.receive(frame(kind, &id(1), "", true));
        assert_eq!(rig.warnings(), [Warning::UnknownKind(kind as u8)]);
        rig.is_alive();
    }
    let mut rig = Rig::new();
    let mut header = altered(2, b"000000");
    header[0] = b'A' | 0x80;
    rig.receive(header);
    assert_eq!(rig.warnings(), [Warning::UnknownKind(0xc1)]);
    rig.is_alive();
}

#[test]
fn case_24_h32_an_unknown_types_payload_is_skipped() {
    let mut rig = Rig::new();
    rig.receive(frame('Q', &id(1), "hello world", false));
    rig.is_alive();
}

#[test]
fn case_25_h33_noise_closes() {
    closes(&[b'Z'; 48]);
    closes(&[0; 48]);
}

#[test]
fn case_26_h34_an_upper_case_id_is_repeated_byte_for_byte() {
    let mut rig = Rig::new();
    let upper = "ABCDEF00-0000-4000-8000-00000000000A";
    rig.receive(a(upper, &[]));
    assert_eq!(rig.answers(200).id.as_str(), upper);
}

#[test]
fn case_27_h35_bytes_may_come_one_by_one() {
    let mut rig = Rig::new();
    let wire = [a(&id(1), &[stream(&id(2), Some(3))]), s(&id(2), "abc", true)].concat();
    wire.iter().for_each(|byte| rig.receive([*byte]));
    assert_eq!(rig.answers(200).body.unwrap().pieces().concat(), b"abc");
}

#[test]
fn case_28_h36_several_frames_may_come_at_once() {
    let mut rig = Rig::new();
    rig.receive([a(&id(1), &[]), a(&id(2), &[]), a(&id(3), &[])].concat());
    assert_eq!(rig.news().len(), 3);
}

#[test]
fn case_29_h37_a_header_may_come_in_two_parts() {
    let mut rig = Rig::new();
    let wire = a(&id(1), &[]);
    rig.receive(&wire[..20]);
    rig.pass(300 * MS);
    rig.receive(&wire[20..]);
    rig.answers(200);
}

#[test]
fn the_lenient_reader_takes_what_some_peers_take() {
    let limits = Limits { strictness: Strictness::Lenient, ..Limits::agent() };
    let lenient = || Rig::with(limits.clone());
    let read = |header: &[u8; 48]| Header::read(header, Strictness::Lenient);
    for length in [b"    42", b"42    ", b"   +42", b"+00042"] {
        assert_eq!(read(&altered(2, length)).unwrap().length.bytes(), 42);
    }
    for length in [b"      ", b"    ++", b"-00001", b"0x0010", b"4 2   "] {
        assert_eq!(read(&altered(2, length)), Err(HeaderDefect::Length));
    }
    let compact = read(&altered(9, b"12345678123412341234123456789ABC    ")).unwrap();
    assert_eq!(compact.id, sound().id);
    assert_eq!(read(&altered(9, &[b' '; 36])), Err(HeaderDefect::Id));

    let mut rig = lenient();
    let padded = format!("{:36}", "request-1");
    rig.receive(frame('A', &padded, r#"{"verb":"GET","streams":[{"id":"body"}]}"#, true));
    rig.receive(frame('S', &format!("{:36}", "body"), "abc", true));
    let request = rig.answers(200);
    assert_eq!(request.id.as_str(), padded);
    assert_eq!(request.body.unwrap().pieces().concat(), b"abc");
}
