//! Readers of single values: each takes what stands behind a key and says what it should have been instead, and describes
//! beforehand what it takes.
//!
//! Invariant: no reader puts the value into its message.

use std::{fmt, fmt::Display, ops::RangeInclusive, time::Duration};

use serde::Serialize;
use serde_json::{Value, json};
use toml::de::DeValue;

use crate::{
    suggest,
    units::{self, show_duration, show_size},
};

/// What is wrong with a value and what it should be.
pub(crate) type Wrong = String;

/// Reads values of one kind, shows them as they would be written, and describes them as JSON Schema.
pub(crate) struct Reader<T> {
    read: Box<Read<T>>,
    show: Box<dyn Fn(&T) -> Value>,
    schema: Value,
}

type Read<T> = dyn Fn(&DeValue<'_>) -> Result<T, Wrong>;

impl<T> Reader<T> {
    fn new(
        schema: Value,
        show: impl Fn(&T) -> Value + 'static,
        read: impl Fn(&DeValue<'_>) -> Result<T, Wrong> + 'static,
    ) -> Self {
        Self { read: Box::new(read), show: Box::new(show), schema }
    }

    /// What is written, or why it cannot be meant.
    pub(crate) fn read(&self, value: &DeValue<'_>) -> Result<T, Wrong> {
        (self.read)(value)
    }

    /// How a value would be written.
    pub(crate) fn show(&self, value: &T) -> Value {
        (self.show)(value)
    }

    /// What is taken. Text that came from the environment is judged after it was filled in.
    pub(crate) fn schema(&self) -> Value {
        self.schema.clone()
    }

    /// Describes the text by a pattern, for editors; what is taken stays what the parser takes.
    pub(crate) fn like(mut self, pattern: &str) -> Self {
        self.schema = json!({ "type": "string", "pattern": pattern });
        self
    }
}

/// What a value is, in the words of the file's author.
pub(crate) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn instead(expected: impl Display, value: &DeValue<'_>) -> Wrong {
    format!("expected {expected}, found {}", kind(value))
}

/// `true` or `false`.
pub(crate) fn flag() -> Reader<bool> {
    Reader::new(
        json!({ "type": "boolean" }),
        |flag| json!(flag),
        |value| match value {
            DeValue::Boolean(flag) => Ok(*flag),
            DeValue::String(_) => Err("write true or false without quotes".to_owned()),
            other => Err(instead("true or false", other)),
        },
    )
}

/// Text that `parse` understands.
pub(crate) fn text<T: Display + 'static, E: Display>(parse: impl Fn(&str) -> Result<T, E> + 'static) -> Reader<T> {
    text_shown(parse, T::to_string)
}

/// Text that `parse` understands and `show` would write.
pub(crate) fn text_shown<T: 'static, E: Display>(
    parse: impl Fn(&str) -> Result<T, E> + 'static,
    show: impl Fn(&T) -> String + 'static,
) -> Reader<T> {
    Reader::new(
        json!({ "type": "string" }),
        move |value| json!(show(value)),
        move |value| match value {
            DeValue::String(text) => parse(text).map_err(|error| error.to_string()),
            other => Err(instead("text in quotes", other)),
        },
    )
}

/// One of a few words.
pub(crate) fn choice<T: Clone + PartialEq + 'static>(words: &[(&'static str, T)]) -> Reader<T> {
    let (shown, words) = (words.to_vec(), words.to_vec());
    let schema = json!({ "enum": words.iter().map(|(word, _)| *word).collect::<Vec<_>>() });
    let show =
        move |value: &T| shown.iter().find(|(_, known)| known == value).map_or(Value::Null, |(word, _)| json!(word));
    let find = move |written: &str| {
        let found = words.iter().find(|(word, _)| *word == written);
        found.map(|(_, value)| value.clone()).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let known = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
            match (words.as_slice(), suggest::nearest(written, words.iter().copied())) {
                (_, Some(word)) => format!("no such choice; did you mean \"{word}\"?"),
                ([only], None) => format!("this version knows only \"{only}\""),
                _ => format!("no such choice; there are {known}"),
            }
        })
    };
    Reader { schema, show: Box::new(show), ..text_shown(find, |_| String::new()) }
}

/// A whole number within a range.
pub(crate) fn count<T>(allowed: RangeInclusive<T>) -> Reader<T>
where
    T: TryFrom<i128> + PartialOrd + Display + Serialize + 'static,
{
    let schema = json!({ "type": "integer", "minimum": allowed.start(), "maximum": allowed.end() });
    Reader::new(
        schema,
        |number| json!(number),
        move |value| {
            let outside = || format!("allowed are {} to {}", allowed.start(), allowed.end());
            match value {
                DeValue::Integer(integer) => {
                    let number = i128::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| outside())?;
                    T::try_from(number).ok().filter(|number| allowed.contains(number)).ok_or_else(outside)
                }
                DeValue::String(_) => Err("write the number without quotes".to_owned()),
                DeValue::Float(_) => Err("write a whole number".to_owned()),
                other => Err(instead("a whole number", other)),
            }
        },
    )
}

/// A share from 0 to 1.
pub(crate) fn share() -> Reader<f64> {
    const WRONG: &str = "a share is a number from 0 to 1, such as 0.1";
    part(json!({ "type": "number", "minimum": 0, "maximum": 1 }), WRONG, |share| (0.0..=1.0).contains(&share))
}

/// A share above 0, up to 1.
pub(crate) fn share_above_zero() -> Reader<f64> {
    const WRONG: &str = "it is a number above 0 and up to 1, such as 0.8";
    part(json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1 }), WRONG, |share| share > 0.0 && share <= 1.0)
}

fn part(schema: Value, wrong: &'static str, is_allowed: fn(f64) -> bool) -> Reader<f64> {
    Reader::new(
        schema,
        |share| json!(share),
        move |value| {
            let written = match value {
                DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
                DeValue::Float(float) => float.as_str(),
                DeValue::String(_) => return Err("write the number without quotes".to_owned()),
                other => return Err(instead("a number from 0 to 1", other)),
            };
            let share: Option<f64> = written.parse().ok().filter(|share| is_allowed(*share));
            // −0.0 is 0
            share.map(f64::abs).ok_or_else(|| wrong.to_owned())
        },
    )
}

/// A duration within a range.
pub(crate) fn duration(allowed: RangeInclusive<Duration>) -> Reader<Duration> {
    let range = format!("{} to {}", show_duration(*allowed.start()), show_duration(*allowed.end()));
    Reader::new(
        json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$", "$comment": range }),
        |duration| json!(show_duration(*duration)),
        move |value| match value {
            DeValue::String(text) => {
                let duration = units::duration(text).map_err(|error| error.to_string())?;
                if allowed.contains(&duration) {
                    return Ok(duration);
                }
                Err(format!("allowed are {range}"))
            }
            DeValue::Integer(_) | DeValue::Float(_) => {
                Err("a number alone is no duration; write its unit: \"250ms\", \"25s\", \"5m\", \"72h\"".to_owned())
            }
            other => Err(instead("a duration such as \"25s\"", other)),
        },
    )
}

/// A size in bytes within a range.
pub(crate) fn size<T>(allowed: RangeInclusive<T>) -> Reader<T>
where
    T: TryFrom<i128> + PartialOrd + Copy + Serialize + 'static,
    u64: TryFrom<T>,
{
    let shown = |bytes: &T| show_size(u64::try_from(*bytes).unwrap_or(u64::MAX));
    let range = format!("{} to {}", shown(allowed.start()), shown(allowed.end()));
    let number = json!({ "type": "integer", "minimum": allowed.start(), "maximum": allowed.end() });
    let with_unit = json!({ "type": "string", "pattern": "^[0-9]+(KiB|MiB|GiB)$" });
    Reader::new(
        json!({ "anyOf": [number, with_unit], "$comment": range }),
        move |bytes| match shown(bytes) {
            plain if plain.bytes().all(|b| b.is_ascii_digit()) => json!(bytes),
            with_unit => json!(with_unit),
        },
        move |value| {
            let outside = || format!("allowed are {range}");
            let bytes = match value {
                DeValue::String(text) => i128::from(units::size(text).map_err(|error| error.to_string())?),
                DeValue::Integer(integer) => {
                    i128::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| outside())?
                }
                DeValue::Float(_) => return Err(units::InvalidQuantity::Size.to_string()),
                other => return Err(instead("a size such as \"32KiB\"", other)),
            };
            T::try_from(bytes).ok().filter(|bytes| allowed.contains(bytes)).ok_or_else(outside)
        },
    )
}

/// A key, a name or a word of the file that may be shown: short, and of harmless characters only.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl Shown<'_> {
    /// Whether the text is shown as it is.
    pub(crate) fn is_harmless(&self) -> bool {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=48).contains(&self.0.len()) && self.0.bytes().all(allowed)
    }
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // a store's address may stand where a key should
        if self.is_harmless() { write!(f, "`{}`", self.0) } else { f.write_str("(not shown)") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(toml: &str, reader: impl std::borrow::Borrow<Reader<T>>) -> Result<T, Wrong> {
        reader.borrow().read(DeValue::parse(toml).unwrap().get_ref())
    }

    #[test]
    fn counts_stay_within_their_range_whatever_is_written() {
        for good in ["1", "100", "0x10", "0b11", "1_00", "+7"] {
            assert!(read(good, count(1_usize..=100)).is_ok(), "{good}");
        }
        for outside in ["0", "101", "-1", "9223372036854775808", "-9223372036854775809", &"9".repeat(400)] {
            assert_eq!(read(outside, count(1_usize..=100)), Err("allowed are 1 to 100".to_owned()), "{outside}");
        }
        for other in ["'5'", "5.0", "true", "[5]", "{}", "1979-05-27", "inf"] {
            assert!(read(other, count(1_usize..=100)).is_err(), "{other}");
        }
    }

    #[test]
    fn a_share_lies_between_nothing_and_everything() {
        for (toml, expected) in [("0", 0.0), ("1", 1.0), ("0.25", 0.25), ("1e-3", 0.001), ("-0.0", 0.0), ("1.0", 1.0)] {
            assert_eq!(read(toml, share()).unwrap().to_bits(), f64::to_bits(expected), "{toml}");
        }
        for bad in ["-0.1", "1.1", "2", "nan", "inf", "-inf", "'0.5'", "true", "1e999", "0x1"] {
            assert!(read(bad, share()).is_err(), "{bad}");
        }
        for (toml, expected) in [("1", 1.0), ("0.8", 0.8), ("1e-300", 1e-300)] {
            assert_eq!(read(toml, share_above_zero()).unwrap().to_bits(), f64::to_bits(expected), "{toml}");
        }
        for bad in ["0", "0.0", "-0.0", "1e-999", "-0.1", "1.1", "nan", "inf", "'0.5'", "0x1"] {
            assert!(read(bad, share_above_zero()).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_and_sizes_stay_within_their_range() {
        let seconds = |from, to| Duration::from_secs(from)..=Duration::from_secs(to);
        assert_eq!(read("'25s'", duration(seconds(1, 60))), Ok(Duration::from_secs(25)));
        assert_eq!(read("'2m'", duration(seconds(1, 60))), Err("allowed are 1s to 1m".to_owned()));
        assert_eq!(read("'-5s'", duration(seconds(0, 60))), Err("it is never negative".to_owned()));
        assert!(read("25", duration(seconds(1, 60))).unwrap_err().contains("write its unit"));
        assert!(read("07:32:00", duration(seconds(1, 60))).unwrap_err().contains("found a date"));
        assert_eq!(read("'32KiB'", size(1..=65_536_usize)), Ok(32_768));
        assert_eq!(read("1000", size(1..=65_536)), Ok(1000));
        for outside in ["0", "-5", "'65KiB'", "9223372036854775808"] {
            assert_eq!(read(outside, size(1..=65_536)), Err("allowed are 1 to 64KiB".to_owned()), "{outside}");
        }
    }

    #[test]
    fn only_harmless_words_are_shown() {
        assert_eq!(Shown("lame_duck").to_string(), "`lame_duck`");
        for hidden in ["", "redis://:pw@host", "a b", "\u{202e}x", "a\nb", &"a".repeat(49)] {
            assert_eq!(Shown(hidden).to_string(), "(not shown)");
        }
    }
}
