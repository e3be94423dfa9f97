//! A stored response as bytes, and back.
//!
//! What is read may be anything: another build's, another key's, cut off, changed, or written by somebody else.
//!
//! Invariant: what [`decode`] gives back was encoded under the very key that was asked for, with the same secret if there is
//! one, and reading it takes no more memory than its bytes and a bounded number of fields.
//!
//! Layout, little-endian: magic, version, flags, status, purge id, the five lengths, class, key, terms, tags, head, body, xxh3-64
//! of all that, and, if there is a secret, HMAC-SHA256 (RFC 2104) of all of that.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use xxhash_rust::xxh3::xxh3_64;

use super::super::purge::{PurgeId, TagHash};

/// Changes with the layout; values of others are not read.
pub const VERSION: u8 = 1;
const MAGIC: [u8; 4] = *b"SXL2";
/// The fixed part before the first variable one.
const FIXED_BYTES: usize = 4 + 1 + 1 + 2 + 8 + 2 + 4 + 4 + 2 + 4 + 4;
const CHECKSUM_BYTES: usize = 8;
const MAC_BYTES: usize = 32;
/// There is a MAC at the end.
const SIGNED: u8 = 1;
/// Most tags of an entry.
pub const TAGS_MAX: usize = 32;
/// Most fields of a head.
pub const FIELDS_MAX: usize = 256;

/// Why bytes are no value, each of them a miss and a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than a value may have.
    #[error("larger than a value may be")]
    TooLarge,
    /// The bytes end early, or go on.
    #[error("cut off, or longer than it says")]
    Truncated,
    /// Not one of ours.
    #[error("not a cached response")]
    Magic,
    /// Of a build with another layout.
    #[error("of another version")]
    Version,
    /// The bytes have changed.
    #[error("the checksum does not fit")]
    Checksum,
    /// Nobody who knows the secret has written it.
    #[error("not signed with our secret")]
    Mac,
    /// Of another key: two have the same name, or somebody has put it there.
    #[error("of another key")]
    WrongKey,
    /// A part is none that an encoder writes.
    #[error("a part of it is unsound")]
    Unsound,
}

/// A value that no reader would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cached response of more than {0} bytes, or with too many or too long parts")]
pub struct TooLarge(pub usize);

/// The secret of all who share a store.
#[derive(Clone)]
pub struct Secret {
    inner: Sha256,
    outer: Sha256,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl Secret {
    /// From at least 32 bytes that nobody else knows. Keeps the two hashes of RFC 2104 after their first block.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut block = [0; 64];
        if bytes.len() > block.len() {
            block[..MAC_BYTES].copy_from_slice(&Sha256::digest(bytes));
        } else {
            block[..bytes.len()].copy_from_slice(bytes);
        }
        let padded = |pad: u8| Sha256::new_with_prefix(block.map(|byte| byte ^ pad));
        Self { inner: padded(0x36), outer: padded(0x5c) }
    }

    pub(super) fn mac(&self, bytes: &[u8]) -> [u8; MAC_BYTES] {
        let inner = self.inner.clone().chain_update(bytes).finalize();
        self.outer.clone().chain_update(inner).finalize().into()
    }
}

/// What is stored of a response.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// The whole key, as the caller writes keys.
    pub key: &'a [u8],
    /// Its class.
    pub class: &'a str,
    /// The last purge when its fetch began.
    pub began: PurgeId,
    /// Its tags, at most [`TAGS_MAX`].
    pub tags: &'a [TagHash],
    /// Times and terms of its freshness, as the caller writes them.
    pub terms: &'a [u8],
    /// Its status.
    pub status: StatusCode,
    /// Its fields, at most [`FIELDS_MAX`].
    pub head: &'a HeaderMap,
    /// Its body, whole.
    pub body: &'a [u8],
}

/// What was stored, its parts shared with the bytes that were read.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its class.
    pub class: Box<str>,
    /// The last purge when its fetch began.
    pub began: PurgeId,
    /// Its tags.
    pub tags: Vec<TagHash>,
    /// As the caller has written them.
    pub terms: Bytes,
    /// Its status.
    pub status: StatusCode,
    /// Its fields, in the order of the fields' first values.
    pub head: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// The bytes of a value, at most `bytes_max`.
///
/// # Errors
/// [`TooLarge`].
pub fn encode(value: &Value<'_>, secret: Option<&Secret>, bytes_max: usize) -> Result<Bytes, TooLarge> {
    let too_large = |_| TooLarge(bytes_max);
    let head_bytes: usize = value.head.iter().map(|(name, field)| 6 + name.as_str().len() + field.len()).sum();
    let trailer = CHECKSUM_BYTES + if secret.is_some() { MAC_BYTES } else { 0 };
    let parts =
        [value.class.len(), value.key.len(), value.terms.len(), value.tags.len() * 8, head_bytes, value.body.len()];
    let whole = FIXED_BYTES + parts.iter().sum::<usize>() + trailer;
    if whole > bytes_max || value.tags.len() > TAGS_MAX || value.head.len() > FIELDS_MAX {
        return Err(TooLarge(bytes_max));
    }
    let long = |len: usize| u32::try_from(len).map(u32::to_le_bytes).map_err(too_large);
    let short = |len: usize| u16::try_from(len).map(u16::to_le_bytes).map_err(too_large);

    let mut bytes = BytesMut::with_capacity(whole);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[VERSION, if secret.is_some() { SIGNED } else { 0 }]);
    bytes.extend_from_slice(&value.status.as_u16().to_le_bytes());
    bytes.extend_from_slice(&value.began.to_bits().to_le_bytes());
    bytes.extend_from_slice(&short(value.class.len())?);
    bytes.extend_from_slice(&long(value.key.len())?);
    bytes.extend_from_slice(&long(value.terms.len())?);
    bytes.extend_from_slice(&short(value.tags.len())?);
    bytes.extend_from_slice(&long(head_bytes)?);
    bytes.extend_from_slice(&long(value.body.len())?);
    bytes.extend_from_slice(value.class.as_bytes());
    bytes.extend_from_slice(value.key);
    bytes.extend_from_slice(value.terms);
    for tag in value.tags {
        bytes.extend_from_slice(&tag.to_bits().to_le_bytes());
    }
    for (name, field) in value.head {
        bytes.extend_from_slice(&short(name.as_str().len())?);
        bytes.extend_from_slice(&long(field.len())?);
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(field.as_bytes());
    }
    bytes.extend_from_slice(value.body);
    seal(&mut bytes, secret);
    Ok(bytes.freeze())
}

/// What `bytes` store under `key`; larger than `bytes_max` they are not looked at.
///
/// # Errors
/// [`DecodeError`].
pub fn decode(bytes: &Bytes, key: &[u8], secret: Option<&Secret>, bytes_max: usize) -> Result<Stored, DecodeError> {
    let mut fixed = open(bytes, MAGIC, VERSION, secret, bytes_max)?;
    let status = StatusCode::from_u16(fixed.u16()?).map_err(|_| DecodeError::Unsound)?;
    let began = PurgeId::from_bits(fixed.u64()?);
    let [class, whole_key, terms] = [fixed.u16()?.into(), fixed.u32()?, fixed.u32()?];
    let [tags, head, body] = [fixed.u16()?.into(), fixed.u32()?, fixed.u32()?];
    if tags > TAGS_MAX {
        return Err(DecodeError::Unsound);
    }
    let mut rest = fixed;
    let class = rest.take(class)?;
    if rest.take(whole_key)? != key {
        return Err(DecodeError::WrongKey);
    }
    let terms = rest.take(terms)?;
    let tags = (0..tags).map(|_| rest.u64().map(TagHash::from_bits)).collect::<Result<_, _>>()?;
    let head = fields(rest.take(head)?)?;
    let body = rest.take(body)?;
    rest.end()?;
    let class = str::from_utf8(&class).map_err(|_| DecodeError::Unsound)?.into();
    Ok(Stored { class, began, tags, terms, status, head, body })
}

fn fields(bytes: Bytes) -> Result<HeaderMap, DecodeError> {
    let mut head = HeaderMap::new();
    let mut rest = Reader(bytes);
    while !rest.0.is_empty() {
        let (name, value) = (rest.u16()?.into(), rest.u32()?);
        let name = HeaderName::from_bytes(&rest.take(name)?).map_err(|_| DecodeError::Unsound)?;
        let value = HeaderValue::from_maybe_shared(rest.take(value)?).map_err(|_| DecodeError::Unsound)?;
        if head.len() >= FIELDS_MAX {
            return Err(DecodeError::Unsound);
        }
        head.append(name, value);
    }
    Ok(head)
}

/// Ends a record: what says that it is whole, and ours.
pub(super) fn seal(bytes: &mut BytesMut, secret: Option<&Secret>) {
    let checksum = xxh3_64(bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    if let Some(secret) = secret {
        let mac = secret.mac(bytes);
        bytes.extend_from_slice(&mac);
    }
}

/// Reads what every record begins and ends with; what is in between is whole and ours.
pub(super) fn open(
    bytes: &Bytes,
    magic: [u8; 4],
    version: u8,
    secret: Option<&Secret>,
    bytes_max: usize,
) -> Result<Reader, DecodeError> {
    if bytes.len() > bytes_max {
        return Err(DecodeError::TooLarge);
    }
    let [m0, m1, m2, m3, found, flags, ..] = bytes[..] else { return Err(DecodeError::Truncated) };
    if [m0, m1, m2, m3] != magic {
        return Err(DecodeError::Magic);
    }
    if found != version {
        return Err(DecodeError::Version);
    }
    let mut whole = bytes.clone();
    let is_signed = flags & SIGNED != 0;
    if is_signed {
        let at = whole.len().checked_sub(MAC_BYTES).ok_or(DecodeError::Truncated)?;
        let mac = whole.split_off(at);
        if let Some(secret) = secret
            && !bool::from(secret.mac(&whole)[..].ct_eq(&mac[..]))
        {
            return Err(DecodeError::Mac);
        }
    } else if secret.is_some() {
        return Err(DecodeError::Mac);
    }
    let at = whole.len().checked_sub(CHECKSUM_BYTES).ok_or(DecodeError::Truncated)?;
    let checksum = whole.split_off(at);
    if xxh3_64(&whole).to_le_bytes() != checksum[..] {
        return Err(DecodeError::Checksum);
    }
    let mut rest = Reader(whole);
    rest.take(6)?;
    Ok(rest)
}

/// What is left of a record.
pub(super) struct Reader(Bytes);

impl Reader {
    pub(super) fn take(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        if len > self.0.len() { Err(DecodeError::Truncated) } else { Ok(self.0.split_to(len)) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.take(N)?;
        bytes[..].try_into().map_err(|_| DecodeError::Truncated)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<usize, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn end(&self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Truncated) }
    }
}
