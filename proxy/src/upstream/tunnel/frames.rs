//! Where the frames of a WebSocket begin and end, read from the bytes that pass (RFC 6455 §5.2).
//!
//! Invariant: a byte is counted once and never changed; what is no WebSocket only means that no boundary is found.

use arrayvec::ArrayVec;

/// The longest header: two bytes, eight of length, four of mask.
const HEADER_MAX: usize = 14;

/// The opcode of a close frame.
const CLOSE: u8 = 0x8;

/// One direction of a WebSocket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// The header that has not come whole.
    header: ArrayVec<u8, HEADER_MAX>,
    /// Bytes of the current frame's payload that are still to come.
    left: u64,
    closing: bool,
}

impl Frames {
    /// Reads on, at most to the end of the current frame. Returns how many bytes belong to it.
    pub fn advance(&mut self, bytes: &[u8]) -> usize {
        let mut read = 0;
        while self.left == 0 {
            let Some(byte) = bytes.get(read) else { return read };
            read += 1;
            self.header.push(*byte);
            if self.header.len() == length(&self.header) {
                self.left = payload(&self.header);
                self.closing |= self.header[0] & 0xF == CLOSE;
                self.header.clear();
                break;
            }
        }
        let payload = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - read);
        self.left -= payload as u64;
        read + payload
    }

    /// Reads all of it.
    pub fn advance_all(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = &bytes[self.advance(bytes)..];
        }
    }

    /// Whether a frame may begin here.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.left == 0 && self.header.is_empty()
    }

    /// Whether a close frame has begun: no other frame follows it.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing
    }
}

/// How long a header is that begins so.
fn length(header: &[u8]) -> usize {
    let Some(second) = header.get(1) else { return 2 };
    let extended = match second & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + extended + if second & 0x80 == 0 { 0 } else { 4 }
}

/// The length of the payload that a whole header announces, in bytes.
fn payload(header: &[u8]) -> u64 {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    match header[1] & 0x7F {
        126 => number(&header[2..4]),
        127 => number(&header[2..10]),
        short => u64::from(short),
    }
}

/// A close frame with a code: for a client plain, for an app with a mask as the client's would have.
#[must_use]
pub fn close(code: u16, mask: Option<[u8; 4]>) -> ArrayVec<u8, 8> {
    let [high, low] = code.to_be_bytes();
    let mut frame = ArrayVec::new();
    frame.extend([0x80 | CLOSE, 2 | if mask.is_some() { 0x80 } else { 0 }]);
    frame.extend(mask.into_iter().flatten());
    let [first, second, ..] = mask.unwrap_or_default();
    frame.extend([high ^ first, low ^ second]);
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(opcode: u8, payload: usize, mask: bool) -> Vec<u8> {
        let flag = if mask { 0x80 } else { 0 };
        let mut bytes = vec![0x80 | opcode];
        match payload {
            0..126 => bytes.push(flag | u8::try_from(payload).unwrap()),
            126..65_536 => {
                bytes.push(flag | 126);
                bytes.extend(u16::try_from(payload).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(flag | 127);
                bytes.extend((payload as u64).to_be_bytes());
            }
        }
        if mask {
            bytes.extend([0x88; 4]);
        }
        // bytes that look like a close frame's header
        bytes.resize(bytes.len() + payload, 0x88);
        bytes
    }

    #[test]
    fn every_byte_of_every_form_of_a_header_is_understood() {
        for payload in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            for mask in [false, true] {
                for opcode in [0, 1, 2, 9, 10, CLOSE] {
                    let bytes = frame(opcode, payload, mask);
                    let mut frames = Frames::default();
                    for (at, byte) in bytes.iter().enumerate() {
                        assert_eq!(frames.is_between(), at == 0, "{payload} {mask} at {at}");
                        assert_eq!(frames.advance(&[*byte]), 1);
                    }
                    assert!(frames.is_between(), "{payload} {mask}");
                    assert_eq!(frames.is_closing(), opcode == CLOSE);
                    let mut whole = Frames::default();
                    assert_eq!(whole.advance(&[&bytes[..], b"next"].concat()), bytes.len(), "it ends where it ends");
                    assert_eq!(whole, frames);
                }
            }
        }
    }

    #[test]
    fn a_frame_of_any_announced_length_is_waited_for() {
        let mut frames = Frames::default();
        frames.advance_all(&[0x82, 127, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        frames.advance_all(&[0x88; 4096]);
        assert!(!frames.is_between() && !frames.is_closing());
    }

    #[test]
    fn our_close_frames_are_close_frames() {
        assert_eq!(close(1001, None).as_slice(), [0x88, 2, 0x03, 0xE9]);
        let masked = close(1001, Some([1, 2, 3, 4]));
        assert_eq!(masked.as_slice(), [0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xE9 ^ 2]);
        let mut frames = Frames::default();
        assert_eq!(frames.advance(&masked), 8);
        assert!(frames.is_between() && frames.is_closing());
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_split_makes_no_difference(
            kinds in prop::collection::vec((0_u8..16, 0_usize..300, any::<bool>()), 0..12),
            splits in prop::collection::vec(1_usize..40, 0..200),
            tail in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut bytes: Vec<u8> = kinds.iter().flat_map(|(opcode, payload, mask)| frame(*opcode, *payload, *mask)).collect();
            let ends: Vec<usize> = kinds.iter().scan(0, |end, (opcode, payload, mask)| {
                *end += frame(*opcode, *payload, *mask).len();
                Some(*end)
            }).collect();
            let whole = bytes.len();
            bytes.extend(tail);
            let mut split = Frames::default();
            let (mut rest, mut at) = (&bytes[..], 0);
            for size in splits {
                let (piece, after) = rest.split_at(size.min(rest.len()));
                split.advance_all(piece);
                at += piece.len();
                rest = after;
                if at <= whole {
                    prop_assert_eq!(split.is_between(), at == 0 || ends.contains(&at), "at {}", at);
                }
            }
            split.advance_all(rest);
            let mut once = Frames::default();
            once.advance_all(&bytes);
            prop_assert_eq!(split, once);
        }
    }
}
