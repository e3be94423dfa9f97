//! A secret of the file.
//!
//! Invariant: [`Debug`](fmt::Debug) never shows it; only [`Secret::expose`] does.

use std::fmt;

/// Shortest token in bytes: less can be guessed.
const TOKEN_BYTES_MIN: usize = 16;
/// Longest token in bytes.
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
}
