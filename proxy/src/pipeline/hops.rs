//! How far a request may still go, and how often it has been here: `Max-Forwards` and `Via`.
//!
//! Between stamps a request makes one hop and no more, by construction. What is left is a loop through somebody else: an
//! app that sends its request on to the platform's own address. Such an app either makes a new request, which has no
//! [`VIA_ENTRY`], or is a proxy itself and copies `Via`. An honest chain of that kind is short, so a bound ends every
//! loop after a few rounds.

use http::{
    HeaderMap, HeaderValue,
    header::{MAX_FORWARDS, VIA},
};

use super::local_reply::LocalReply;

/// Our entry in `Via`; the pseudonym is the fleet's (RFC 9110 §7.6.3).
pub const VIA_ENTRY: HeaderValue = HeaderValue::from_static("1.1 synaxis");

/// Most entries of ours that a request may arrive with. Each pass leaves one, or two when another stamp serves.
const PASSES_MAX: usize = 8;

/// Refuses a request that has been here too often.
///
/// # Errors
/// `loop`.
pub fn check_loop(headers: &HeaderMap) -> Result<(), LocalReply> {
    let entries = headers.get_all(VIA).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let ours = entries.filter(|entry| {
        let mut words = entry.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|received_by| received_by.eq_ignore_ascii_case(b"synaxis"))
    });
    if ours.count() > PASSES_MAX { Err(LocalReply::Loop) } else { Ok(()) }
}

/// What `Max-Forwards` says about an OPTIONS request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It goes on, with one step less if it counts them.
    Further,
    /// It ends here: the proxy answers.
    Here,
}

/// Counts one step of an OPTIONS request (RFC 9110 §7.6.2). For other methods the field has no meaning and passes.
///
/// # Errors
/// `max_forwards_invalid` when the field is not one number.
pub fn step(headers: &mut HeaderMap) -> Result<Reach, LocalReply> {
    let mut lines = headers.get_all(MAX_FORWARDS).iter();
    let Some(line) = lines.next() else { return Ok(Reach::Further) };
    let digits = line.as_bytes();
    if lines.next().is_some() || digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(LocalReply::MaxForwardsInvalid);
    }
    // more steps than any way has are as good as the most we can count
    let steps =
        digits.iter().fold(0_u32, |steps, digit| steps.saturating_mul(10).saturating_add(u32::from(digit - b'0')));
    let Some(left) = steps.checked_sub(1) else { return Ok(Reach::Here) };
    headers.insert(MAX_FORWARDS, HeaderValue::from(left));
    Ok(Reach::Further)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &http::HeaderName, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_str(line).unwrap())).collect()
    }

    #[test]
    fn a_step_is_counted_down_and_the_last_one_ends_here() {
        for (lines, expected) in [
            (&[][..], Some((Reach::Further, None))),
            (&["0"], Some((Reach::Here, Some("0")))),
            (&["00"], Some((Reach::Here, Some("00")))),
            (&["1"], Some((Reach::Further, Some("0")))),
            (&["10"], Some((Reach::Further, Some("9")))),
            (&["99999999999999999999999999"], Some((Reach::Further, Some("4294967294")))),
            (&[""], None),
            (&["-1"], None),
            (&["+1"], None),
            (&["1.0"], None),
            (&["0x1"], None),
            (&["1, 2"], None),
            (&["1", "1"], None),
        ] {
            let mut headers = headers(&MAX_FORWARDS, lines);
            let reach = step(&mut headers).ok();
            assert_eq!(reach, expected.map(|(reach, _)| reach), "{lines:?}");
            if let Some((_, left)) = expected {
                assert_eq!(headers.get(MAX_FORWARDS).map(|value| value.to_str().unwrap()), left, "{lines:?}");
            }
        }
    }

    #[test]
    fn more_than_eight_entries_of_ours_are_a_loop_and_those_of_others_are_none() {
        let ours = "1.1 synaxis";
        for (lines, is_loop) in [
            (vec![], false),
            (vec![ours; 8], false),
            (vec![ours; 9], true),
            (vec!["1.0 fred, 1.1 p.example.net"; 40], false),
            (vec!["1.1 synaxis.example, 1.1 not-synaxis, synaxis"; 40], false),
            (vec!["1.1 synaxis,1.1\tSynaxis (x),HTTP/1.1  synaxis"; 3], true),
            (vec![", ,,"; 9], false),
        ] {
            assert_eq!(check_loop(&headers(&VIA, &lines)).is_err(), is_loop, "{lines:?}");
        }
    }
}
