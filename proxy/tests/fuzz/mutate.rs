//! Inputs that are almost right. The same chance gives the same input on every machine.

/// Largest input in bytes.
const BYTES_MAX: usize = 64 << 10;

/// Bytes that mean something to the readers of text.
const TELLING: &[u8] = b"\r\n\t \0:;,=\"'\\/{}[]()<>%-_.0159aZ\x7f\x80\xc3\xff";

/// SplitMix64: chance that repeats.
pub struct Chance(pub u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`; 0 when `end` is.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end as u64).max(1)).unwrap()
    }

    /// A piece of `bytes`, at most 64 bytes long.
    fn piece<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let from = self.below(bytes.len());
        &bytes[from..bytes.len().min(from + self.below(65))]
    }

    /// A whole line of `bytes`, with its end.
    fn line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        lines.get(self.below(lines.len())).copied().unwrap_or_default()
    }
}

/// One of `seeds` with one to six changes.
pub fn mutate(seeds: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = seeds[chance.below(seeds.len())].clone();
    for _ in 0..=chance.below(6) {
        let at = chance.below(bytes.len() + 1);
        let other = &seeds[chance.below(seeds.len())];
        match chance.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            1 if at < bytes.len() => bytes[at] = TELLING[chance.below(TELLING.len())],
            2 => bytes.insert(at, TELLING[chance.below(TELLING.len())]),
            3 => {
                let end = bytes.len().min(at + chance.below(33));
                bytes.drain(at..end);
            }
            4 => {
                let again = chance.piece(&bytes).to_vec();
                bytes.splice(at..at, again);
            }
            5 => {
                let theirs = chance.piece(other).to_vec();
                let end = bytes.len().min(at + chance.below(2) * theirs.len());
                bytes.splice(at..end, theirs);
            }
            6 => {
                let line = chance.line(other).to_vec();
                let start = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                bytes.splice(start..start, line);
            }
            _ => bytes.truncate(at.max(1)),
        }
    }
    bytes.truncate(BYTES_MAX);
    bytes
}
