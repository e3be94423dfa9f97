//! The envelope in which a bundle lies on disk and travels between peers.
//!
//! Eight bytes of name and layout, three lengths, the three documents, a checksum over all of it:
//! `SYNXRT01 | head u32 | table u32 | tenants u32 | documents | xxh3-64`, integers little-endian. The checksum finds
//! torn and rotten files; who may be believed is decided by the hashes and by transport security.

use bytes::{BufMut, Bytes, BytesMut};
use xxhash_rust::xxh3::xxh3_64;

use super::{Bundle, HEAD_BYTES_MAX, TABLE_BYTES_MAX, TENANTS_BYTES_MAX, parse};
use crate::sanity::Refusal;

const MAGIC: &[u8; 8] = b"SYNXRT01";
const LENGTHS: usize = 3 * size_of::<u32>();
const CHECKSUM: usize = size_of::<u64>();

pub(super) fn seal(bundle: &Bundle) -> Bytes {
    let documents = [&bundle.head, &bundle.table, &bundle.tenants];
    let total: usize = documents.iter().map(|bytes| bytes.len()).sum();
    let mut out = BytesMut::with_capacity(MAGIC.len() + LENGTHS + total + CHECKSUM);
    out.put_slice(MAGIC);
    for bytes in documents {
        // a document above 4 GiB cannot be built; were it, opening would refuse the length
        out.put_u32_le(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    }
    for bytes in documents {
        out.put_slice(bytes);
    }
    let checksum = xxh3_64(&out);
    out.put_u64_le(checksum);
    out.freeze()
}

pub(super) fn open(bytes: &[u8]) -> Result<Bundle, Refusal> {
    parse::size(
        "envelope",
        bytes,
        MAGIC.len() + LENGTHS + HEAD_BYTES_MAX + TABLE_BYTES_MAX + TENANTS_BYTES_MAX + CHECKSUM,
    )?;
    let short = || Refusal::Envelope("it is cut short");
    let (sealed, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or_else(short)?;
    let rest = sealed.strip_prefix(MAGIC).ok_or(Refusal::Envelope("it does not begin with SYNXRT01"))?;
    if xxh3_64(sealed) != u64::from_le_bytes(*checksum) {
        return Err(Refusal::Envelope("the checksum does not match"));
    }
    let (lengths, documents) = rest.split_first_chunk::<LENGTHS>().ok_or_else(short)?;
    let (numbers, _) = lengths.as_chunks::<4>();
    let maxima = [("head", HEAD_BYTES_MAX), ("table", TABLE_BYTES_MAX), ("tenants", TENANTS_BYTES_MAX)];
    let documents = Bytes::copy_from_slice(documents);
    let mut parts = [Bytes::new(), Bytes::new(), Bytes::new()];
    let mut start = 0;
    for ((part, number), (what, max)) in parts.iter_mut().zip(numbers).zip(maxima) {
        let length = u32::from_le_bytes(*number) as usize;
        if length > max {
            return Err(Refusal::TooLarge { what, bytes: length, max });
        }
        if documents.len() - start < length {
            return Err(short());
        }
        *part = documents.slice(start..start + length);
        start += length;
    }
    if start != documents.len() {
        return Err(Refusal::Envelope("bytes follow the documents"));
    }
    let [head, table, tenants] = parts;
    Ok(Bundle { head, table, tenants })
}
