//! The escapes of a terminal: what is typed after `~` at the beginning of a line.

use std::collections::VecDeque;

/// What stands for Ctrl-Z.
const CTRL_Z: u8 = 0x1a;

/// What an escape orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// `~.`
    Leave,
    /// `~^Z`
    Suspend,
    /// `~?`
    Tell,
}

/// Finds escapes in what is typed.
#[derive(Debug)]
pub(super) struct Escapes {
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// There are no escapes.
    Off,
    LineStart,
    AfterTilde,
    WithinLine,
}

impl Escapes {
    pub(super) fn new(on: bool) -> Self {
        Escapes { place: if on { Place::LineStart } else { Place::Off } }
    }

    /// Adds to `typed` what of `input` is for the other side, up to and without the first escape,
    /// which is taken out; how much of `input` that was.
    pub(super) fn feed(
        &mut self,
        input: &[u8],
        typed: &mut VecDeque<u8>,
    ) -> (usize, Option<Order>) {
        if self.place == Place::Off {
            typed.extend(input);
            return (input.len(), None);
        }
        for (index, byte) in input.iter().copied().enumerate() {
            if self.place == Place::AfterTilde {
                let order = match byte {
                    b'.' => Some(Order::Leave),
                    CTRL_Z => Some(Order::Suspend),
                    b'?' => Some(Order::Tell),
                    _ => None,
                };
                if order.is_some() {
                    self.place = Place::LineStart;
                    return (index + 1, order);
                }
                typed.push_back(b'~');
                if byte == b'~' {
                    self.place = Place::WithinLine;
                    continue;
                }
            }
            self.place = match (self.place, byte) {
                (_, b'\r' | b'\n') => Place::LineStart,
                (Place::LineStart, b'~') => Place::AfterTilde,
                _ => Place::WithinLine,
            };
            if self.place != Place::AfterTilde {
                typed.push_back(byte);
            }
        }
        (input.len(), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What goes to the other side, and the orders, whole and byte by byte.
    #[track_caller]
    fn check(input: &[u8], expected: &[u8], orders: &[Order]) {
        for size in [1, 2, input.len().max(1)] {
            let mut escapes = Escapes::new(true);
            let (mut typed, mut found) = (VecDeque::new(), Vec::new());
            for mut piece in input.chunks(size) {
                while !piece.is_empty() {
                    let (taken, order) = escapes.feed(piece, &mut typed);
                    found.extend(order);
                    piece = &piece[taken..];
                }
            }
            assert_eq!((typed.make_contiguous() as &[u8], &found[..]), (expected, orders));
        }
    }

    #[test]
    fn an_escape_counts_at_the_beginning_of_a_line() {
        check(b"~.", b"", &[Order::Leave]);
        check(b"ls\r~.", b"ls\r", &[Order::Leave]);
        check(b"~?ls\n~\x1a", b"ls\n", &[Order::Tell, Order::Suspend]);
    }

    #[test]
    fn elsewhere_a_tilde_is_a_tilde() {
        check(b"cd ~.\r", b"cd ~.\r", &[]);
        check(b"~/bin\r", b"~/bin\r", &[]);
        check(b"~\r~.", b"~\r", &[Order::Leave]);
        check(b"a~\n", b"a~\n", &[]);
    }

    #[test]
    fn two_tildes_are_one() {
        check(b"~~.", b"~.", &[]);
        check(b"\r~~\r~.", b"\r~\r", &[Order::Leave]);
    }

    #[test]
    fn without_escapes_everything_goes() {
        let mut typed = VecDeque::new();
        assert_eq!(Escapes::new(false).feed(b"~.\r~.", &mut typed), (5, None));
        assert_eq!(typed, b"~.\r~.");
    }
}
