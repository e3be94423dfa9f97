//! A secret of the file.
//!
//! Invariant: [`Debug`](fmt::Debug) never shows it; only [`Secret::expose`] does.

use std::fmt;

/// Shortest token in bytes: less can be guessed.
const TOKEN_BYTES_MIN: usize = 16;
/// Shortest key in bytes.
const KEY_BYTES_MIN: usize = 32;
/// Longest token or key in bytes.
const TOKEN_BYTES_MAX: usize = 512;

/// Text that is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

/// Text that is no bearer token. Says nothing of the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Too short or too long.
    #[error("a token has 16 to 512 characters; `openssl rand -hex 32` makes one")]
    Length,
    /// A character that no `Authorization` field carries.
    #[error("a token is made of A-Z a-z 0-9 - . _ ~ + / and = at its end; `openssl rand -hex 32` makes one")]
    Characters,
}

/// Text that is no key. Says nothing of the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Too short or too long.
    #[error("a key has 32 to 512 characters; `openssl rand -hex 32` makes one")]
    Length,
    /// A blank, a control character or one outside ASCII.
    #[error("a key is made of printable ASCII without blanks; `openssl rand -hex 32` makes one")]
    Characters,
}

impl Secret {
    /// A bearer token (RFC 6750 §2.1, `b64token`) of 16 to 512 bytes.
    ///
    /// # Errors
    /// [`InvalidToken`]: what is wrong, without the text.
    pub fn token(text: &str) -> Result<Self, InvalidToken> {
        if !(TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&text.len()) {
            return Err(InvalidToken::Length);
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
        let body = text.trim_end_matches('=');
        if body.is_empty() || !body.bytes().all(allowed) {
            return Err(InvalidToken::Characters);
        }
        Ok(Self(text.into()))
    }

    /// A key to sign with, of 32 to 512 printable ASCII characters.
    ///
    /// # Errors
    /// [`InvalidKey`]: what is wrong, without the text.
    pub fn key(text: &str) -> Result<Self, InvalidKey> {
        if !(KEY_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&text.len()) {
            return Err(InvalidKey::Length);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(InvalidKey::Characters);
        }
        Ok(Self(text.into()))
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_plain_and_never_shown() {
        for good in ["0123456789abcdef", "AZaz09-._~+/AZaz==", &"x".repeat(512)] {
            let token = Secret::token(good).unwrap();
            assert_eq!(token.expose(), good);
            assert_eq!(format!("{token:?} {token:#?}"), "(secret) (secret)");
        }
        for (bad, why) in [
            ("", InvalidToken::Length),
            ("0123456789abcde", InvalidToken::Length),
            (&"x".repeat(513), InvalidToken::Length),
            ("================", InvalidToken::Characters),
            ("0123456789 abcdef", InvalidToken::Characters),
            ("0123456789abcdef\n", InvalidToken::Characters),
            ("01234567=89abcdef", InvalidToken::Characters),
            ("Bearer,0123456789", InvalidToken::Characters),
            ("0123456789abcdeä", InvalidToken::Characters),
        ] {
            assert_eq!(Secret::token(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn a_key_is_longer_and_never_shown() {
        let key = Secret::key(&"~!".repeat(16)).unwrap();
        assert_eq!(format!("{key:?}"), "(secret)");
        for (bad, why) in [
            ("x".repeat(31), InvalidKey::Length),
            ("x".repeat(513), InvalidKey::Length),
            ("x".repeat(32) + "\n", InvalidKey::Characters),
            ("x y".repeat(16), InvalidKey::Characters),
            ("ä".repeat(32), InvalidKey::Characters),
        ] {
            assert_eq!(Secret::key(&bad), Err(why), "{bad:?}");
        }
    }
}
