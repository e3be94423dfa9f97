//! What a resource's responses vary by: read before a value can be named.
//!
//! Invariant: it says the names and no more. Which variants there are is seen by asking for one: a list of them in here would
//! lose those that two workers add at one time, and spare nobody but who asks for one that is not there.

use bytes::{Bytes, BytesMut};
use http::HeaderName;

use super::codec::{DecodeError, Secret, TooLarge, open, seal};

/// Most fields that its responses vary by.
pub const NAMES_MAX: usize = 16;
/// Largest record in bytes.
pub const BASE_BYTES_MAX: usize = 16 << 10;
/// Changes with the layout.
pub const VERSION: u8 = 2;
const MAGIC: [u8; 4] = *b"SXL1";

/// The fields by which responses to one key differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    names: Vec<HeaderName>,
}

impl Base {
    /// Of responses that vary by `names`, in any order. `None`: by more than are kept.
    #[must_use]
    pub fn new(mut names: Vec<HeaderName>) -> Option<Self> {
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        (names.len() <= NAMES_MAX).then_some(Self { names })
    }

    /// The fields in their order: a variant's key has their values in this one. Empty: there is only one variant.
    #[must_use]
    pub fn names(&self) -> &[HeaderName] {
        &self.names
    }

    /// Its bytes under `key`.
    ///
    /// # Errors
    /// [`TooLarge`]: the key or the names are longer than a record may be.
    pub fn encode(&self, key: &[u8], secret: Option<&Secret>) -> Result<Bytes, TooLarge> {
        let mut bytes = BytesMut::with_capacity(256 + key.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, u8::from(secret.is_some())]);
        let short = |len: usize| u16::try_from(len).map(u16::to_le_bytes).map_err(|_| TooLarge(BASE_BYTES_MAX));
        bytes.extend_from_slice(&short(key.len())?);
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(&short(self.names.len())?);
        for name in &self.names {
            bytes.extend_from_slice(&short(name.as_str().len())?);
            bytes.extend_from_slice(name.as_str().as_bytes());
        }
        seal(&mut bytes, secret);
        if bytes.len() > BASE_BYTES_MAX { Err(TooLarge(BASE_BYTES_MAX)) } else { Ok(bytes.freeze()) }
    }

    /// What `bytes` say of `key`.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &Bytes, key: &[u8], secret: Option<&Secret>) -> Result<Self, DecodeError> {
        let mut rest = open(bytes, MAGIC, VERSION, secret, BASE_BYTES_MAX)?;
        let len = rest.u16()?.into();
        if rest.take(len)? != key {
            return Err(DecodeError::WrongKey);
        }
        let count = rest.u16()?.into();
        if count > NAMES_MAX {
            return Err(DecodeError::Unsound);
        }
        let mut names: Vec<HeaderName> = Vec::with_capacity(count);
        for _ in 0..count {
            let len = rest.u16()?.into();
            let name = HeaderName::from_bytes(&rest.take(len)?).map_err(|_| DecodeError::Unsound)?;
            // the order is part of every variant's key
            if names.last().is_some_and(|last| last.as_str() >= name.as_str()) {
                return Err(DecodeError::Unsound);
            }
            names.push(name);
        }
        rest.end()?;
        Ok(Self { names })
    }
}
