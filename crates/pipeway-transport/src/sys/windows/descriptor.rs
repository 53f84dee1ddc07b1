//! Self-relative security descriptors, read entry by entry. No system calls: bytes in, values
//! out.
//!
//! Layouts, little-endian, after [MS-DTYP] 2.4.6, 2.4.5, 2.4.4 and 2.4.2:
//!
//! | structure | fields by offset |
//! |---|---|
//! | descriptor | 0 revision, 1 -, 2 control (u16), 4 owner, 8 group, 12 SACL, 16 DACL (u32 offsets, 0 is none) |
//! | ACL | 0 revision, 1 -, 2 size (u16), 4 entries (u16), 6 - |
//! | entry | 0 kind, 1 flags, 2 size (u16), 4 mask (u32), 8 SID |
//! | SID | 0 revision, 1 number of parts, 2 authority (6 bytes, big-endian), 8 parts (u32 each) |

use std::fmt;

/// The control bit that says that there is a DACL (SE_DACL_PRESENT).
const DACL_PRESENT: u16 = 0x0004;
/// The control bit that says that there is a SACL (SE_SACL_PRESENT).
const SACL_PRESENT: u16 = 0x0010;

const KIND_ALLOW: u8 = 0;
const KIND_DENY: u8 = 1;
const KIND_LABEL: u8 = 0x11;

/// The generic rights and what they stand for on a pipe (the mapping of files).
const GENERIC: [(u32, u32); 4] = [
    (0x8000_0000, 0x0012_0089),
    (0x4000_0000, 0x0012_0116),
    (0x2000_0000, 0x0012_00A0),
    (0x1000_0000, 0x001F_01FF),
];

/// The right to make a further instance of a pipe's name (FILE_CREATE_PIPE_INSTANCE).
pub(super) const CREATE_INSTANCE: u32 = 0x4;

/// A security identifier, in its text form `S-1-...`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sid(String);

impl Sid {
    /// The system's own account.
    pub(super) const SYSTEM: &'static str = "S-1-5-18";

    /// Reads the binary form at the start of `bytes`.
    pub(super) fn parse(bytes: &[u8]) -> Option<Sid> {
        let count = usize::from(*bytes.get(1)?);
        let authority =
            bytes.get(2..8)?.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        let mut text = if authority < 1 << 32 {
            format!("S-{}-{authority}", bytes[0])
        } else {
            format!("S-{}-{authority:#014x}", bytes[0])
        };
        for part in bytes.get(8..8 + 4 * count)?.chunks_exact(4) {
            text.push_str(&format!("-{}", u32_at(part, 0)?));
        }
        Some(Sid(text))
    }

    /// Takes the text form as it stands.
    pub(super) fn from_text(text: &str) -> Sid {
        Sid(text.to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn is_system(&self) -> bool {
        self.0 == Sid::SYSTEM
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One entry of an access-control list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    kind: u8,
    flags: u8,
    rest: Rest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rest {
    Known {
        /// Generic rights replaced by what they stand for.
        mask: u32,
        sid: Sid,
    },
    /// A kind whose layout is not needed here, as it stands.
    Other(Vec<u8>),
}

impl Entry {
    /// Who is allowed what, for an entry that allows.
    pub(super) fn allows(&self) -> Option<(&Sid, u32)> {
        match &self.rest {
            Rest::Known { mask, sid } if self.kind == KIND_ALLOW => Some((sid, *mask)),
            _ => None,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            KIND_ALLOW => "allow",
            KIND_DENY => "deny",
            KIND_LABEL => "label",
            _ => "other",
        };
        match &self.rest {
            Rest::Known { mask, sid } => write!(f, "{kind} {sid} {mask:#x}"),
            Rest::Other(bytes) => write!(f, "{kind} (kind {}, {} bytes)", self.kind, bytes.len()),
        }
    }
}

/// What a descriptor says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) owner: Option<Sid>,
    /// `None` is no DACL at all, which lets everybody do everything.
    pub(super) dacl: Option<Vec<Entry>>,
    /// The integrity label's entries; empty where there is none, or the system does not tell.
    pub(super) label: Vec<Entry>,
}

impl Description {
    /// Reads a self-relative descriptor; `None` where it is not well formed.
    pub(super) fn parse(bytes: &[u8]) -> Option<Description> {
        let control = u16_at(bytes, 2)?;
        let part = |field: usize| {
            let offset = usize::try_from(u32_at(bytes, field)?).ok()?;
            if offset == 0 { Some(None) } else { bytes.get(offset..).map(Some) }
        };
        let owner = match part(4)? {
            Some(owner) => Some(Sid::parse(owner)?),
            None => None,
        };
        let label = match part(12)? {
            Some(acl) if control & SACL_PRESENT != 0 => {
                entries(acl)?.into_iter().filter(|entry| entry.kind == KIND_LABEL).collect()
            }
            _ => Vec::new(),
        };
        let dacl = match part(16)? {
            Some(acl) if control & DACL_PRESENT != 0 => Some(entries(acl)?),
            _ => None,
        };
        Some(Description { owner, dacl, label })
    }

    /// How `applied` differs from this, which was asked for; `None` where it does not. A label
    /// is compared only if the system returned one: Wine keeps none.
    pub(super) fn difference(&self, applied: &Description) -> Option<String> {
        if self.owner.is_some() && self.owner != applied.owner {
            return Some(format!(
                "the owner is {}, not {}",
                name(&applied.owner),
                name(&self.owner)
            ));
        }
        match (&self.dacl, &applied.dacl) {
            (_, None) => return Some("there is no access list".into()),
            (None, Some(_)) => {}
            (Some(wanted), Some(applied)) => {
                if let Some(difference) = list_difference(wanted, applied) {
                    return Some(difference);
                }
            }
        }
        if applied.label.is_empty() { None } else { list_difference(&self.label, &applied.label) }
    }
}

fn list_difference(wanted: &[Entry], applied: &[Entry]) -> Option<String> {
    for index in 0..wanted.len().max(applied.len()) {
        match (wanted.get(index), applied.get(index)) {
            (Some(wanted), Some(applied)) if wanted == applied => {}
            (Some(wanted), Some(applied)) => {
                return Some(format!("entry {} is `{applied}`, not `{wanted}`", index + 1));
            }
            (Some(wanted), None) => {
                return Some(format!("entry {}, `{wanted}`, is missing", index + 1));
            }
            (None, Some(applied)) => {
                return Some(format!("entry {}, `{applied}`, was added", index + 1));
            }
            (None, None) => {}
        }
    }
    None
}

fn name(sid: &Option<Sid>) -> &str {
    sid.as_ref().map_or("nobody", Sid::as_str)
}

fn entries(acl: &[u8]) -> Option<Vec<Entry>> {
    let count = u16_at(acl, 4)?;
    let mut rest = acl.get(8..usize::from(u16_at(acl, 2)?))?;
    let mut entries = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let size = usize::from(u16_at(rest, 2)?);
        let (entry, after) = rest.split_at_checked(size)?;
        let kind = *entry.first()?;
        let flags = *entry.get(1)?;
        let content = if matches!(kind, KIND_ALLOW | KIND_DENY | KIND_LABEL) {
            let mask = u32_at(entry, 4)?;
            // A label's mask holds policy bits, not rights.
            let mask = if kind == KIND_LABEL { mask } else { specific(mask) };
            Rest::Known { mask, sid: Sid::parse(entry.get(8..)?)? }
        } else {
            Rest::Other(entry.get(4..)?.to_vec())
        };
        entries.push(Entry { kind, flags, rest: content });
        rest = after;
    }
    Some(entries)
}

/// `mask` with generic rights replaced by what they stand for, as the system stores it.
fn specific(mask: u32) -> u32 {
    GENERIC.iter().fold(
        mask,
        |mask, (generic, rights)| {
            if mask & generic == 0 { mask } else { mask & !generic | rights }
        },
    )
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A descriptor with owner SYSTEM and one entry that allows SYSTEM `mask`.
    fn system_only(mask: u32) -> Vec<u8> {
        let sid = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
        let mut bytes = vec![1, 0, 0x04, 0x80];
        for offset in [20u32, 0, 0, 32] {
            bytes.extend(offset.to_le_bytes());
        }
        bytes.extend(sid);
        bytes.extend([2, 0, 28, 0, 1, 0, 0, 0]);
        bytes.extend([KIND_ALLOW, 0, 20, 0]);
        bytes.extend(mask.to_le_bytes());
        bytes.extend(sid);
        bytes
    }

    #[test]
    fn a_descriptor_is_read_entry_by_entry() {
        let description = Description::parse(&system_only(0x1F01FF)).unwrap();
        assert_eq!(description.owner.as_ref().unwrap().as_str(), Sid::SYSTEM);
        let dacl = description.dacl.as_ref().unwrap();
        assert_eq!(dacl.len(), 1);
        assert_eq!(dacl[0].to_string(), "allow S-1-5-18 0x1f01ff");
        let (sid, mask) = dacl[0].allows().unwrap();
        assert!(sid.is_system());
        assert_eq!(mask, 0x1F01FF);
    }

    #[test]
    fn generic_rights_compare_as_what_they_stand_for() {
        let generic = Description::parse(&system_only(0x1000_0000)).unwrap();
        let specific = Description::parse(&system_only(0x001F_01FF)).unwrap();
        assert_eq!(generic.difference(&specific), None);
    }

    #[test]
    fn another_mask_is_a_difference() {
        let wanted = Description::parse(&system_only(0x12019B)).unwrap();
        let applied = Description::parse(&system_only(0x1F01FF)).unwrap();
        let difference = wanted.difference(&applied).unwrap();
        assert!(difference.contains("0x1f01ff") && difference.contains("0x12019b"), "{difference}");
    }

    #[test]
    fn no_access_list_is_a_difference() {
        let wanted = Description::parse(&system_only(0x12019B)).unwrap();
        let applied = Description { dacl: None, ..wanted.clone() };
        assert!(wanted.difference(&applied).is_some());
    }

    #[test]
    fn a_cut_descriptor_is_refused() {
        let whole = system_only(0x12019B);
        for length in 0..whole.len() {
            assert_eq!(Description::parse(&whole[..length]), None, "{length}");
        }
    }
}
