//! Records as bytes.

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;

use super::{
    super::base::NAMES_MAX,
    codec::{DecodeError, FIELDS_MAX, Stored, TAGS_MAX, decode, encode, seal},
    *,
};
use crate::cache::purge::{PurgeId, TagHash};

const MAX: usize = 1 << 20;

fn secret(text: &str) -> Secret {
    Secret::new(text.repeat(8).as_bytes())
}

#[derive(Clone, Debug)]
struct Owned {
    key: Vec<u8>,
    class: String,
    began: u64,
    tags: Vec<u64>,
    terms: Vec<u8>,
    status: u16,
    head: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Owned {
    fn plain() -> Self {
        let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        Self {
            key: b"acme\0https\0app.example\0GET\0/leads/1".to_vec(),
            class: "metadata".into(),
            began: 77,
            tags: vec![1, u64::MAX],
            terms: vec![9; 40],
            status: 200,
            head: vec![field("etag", "\"x\""), field("vary", "accept"), field("vary", "accept-language")],
            body: b"{\"name\":\"A\"}".to_vec(),
        }
    }

    fn head(&self) -> HeaderMap {
        let field = |(name, value): &(String, Vec<u8>)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_bytes(value).unwrap())
        };
        let mut head = HeaderMap::new();
        self.head.iter().map(field).for_each(|(name, value)| {
            head.append(name, value);
        });
        head
    }

    fn encode(&self, secret: Option<&Secret>, most: usize) -> Result<Bytes, TooLarge> {
        let tags: Vec<TagHash> = self.tags.iter().copied().map(TagHash::from_bits).collect();
        let value = Value {
            key: &self.key,
            class: &self.class,
            began: PurgeId::from_bits(self.began),
            tags: &tags,
            terms: &self.terms,
            status: StatusCode::from_u16(self.status).unwrap(),
            head: &self.head(),
            body: &self.body,
        };
        encode(&value, secret, most)
    }

    fn is(&self, stored: &Stored) -> bool {
        *stored.class == *self.class
            && stored.began.to_bits() == self.began
            && stored.tags.iter().map(|tag| tag.to_bits()).eq(self.tags.iter().copied())
            && stored.terms == self.terms
            && stored.status.as_u16() == self.status
            && stored.head == self.head()
            && stored.body == self.body
    }
}

fn values() -> impl Strategy<Value = Owned> {
    let bytes = |most: usize| prop::collection::vec(any::<u8>(), 0..most);
    let name = prop::sample::select(vec!["etag", "vary", "content-type", "x-a", "x-b"]).prop_map(str::to_owned);
    let value = prop::collection::vec(prop_oneof![0x20..0x7f_u8, 0x80..=0xff_u8, Just(b'\t')], 0..30);
    let head = prop::collection::vec((name, value), 0..12);
    let tags = prop::collection::vec(any::<u64>(), 0..=TAGS_MAX);
    (bytes(60), "[a-z-]{0,20}", any::<u64>(), tags, bytes(60), 100..1000_u16, head, bytes(400)).prop_map(
        |(key, class, began, tags, terms, status, head, body)| Owned {
            key,
            class,
            began,
            tags,
            terms,
            status,
            head,
            body,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn a_value_is_read_as_it_was_written(value in values(), is_signed: bool) {
        let secret = is_signed.then(|| secret("secret"));
        let bytes = value.encode(secret.as_ref(), MAX).unwrap();
        let tight = value.encode(secret.as_ref(), bytes.len());
        prop_assert_eq!(tight.as_ref(), Ok(&bytes), "the bound is exact");
        prop_assert_eq!(value.encode(secret.as_ref(), bytes.len() - 1), Err(TooLarge(bytes.len() - 1)));
        let stored = decode(&bytes, &value.key, secret.as_ref(), bytes.len()).unwrap();
        prop_assert!(value.is(&stored), "{stored:?}");
        prop_assert_eq!(decode(&bytes, &value.key, secret.as_ref(), bytes.len() - 1).unwrap_err(), DecodeError::TooLarge);
    }

    #[test]
    fn a_value_that_was_changed_or_cut_is_none(
        value in values(), is_signed: bool, at in any::<prop::sample::Index>(), to: u8, cut in any::<prop::sample::Index>(),
    ) {
        let secret = is_signed.then(|| secret("secret"));
        let whole = value.encode(secret.as_ref(), MAX).unwrap();
        let mut changed = whole.to_vec();
        let at = at.index(whole.len());
        changed[at] = to;
        prop_assume!(changed[at] != whole[at]);
        prop_assert!(decode(&changed.into(), &value.key, secret.as_ref(), MAX).is_err());
        let cut = whole.slice(..cut.index(whole.len()));
        prop_assert!(decode(&cut, &value.key, secret.as_ref(), MAX).is_err());
        let longer = [&whole[..], &[to]].concat();
        prop_assert!(decode(&longer.into(), &value.key, secret.as_ref(), MAX).is_err());
    }

    #[test]
    fn bytes_of_anybody_are_read_without_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..300), form in 0..4) {
        // with a good beginning and a good checksum, so that everything in between is looked at
        if form > 0 && bytes.len() > 40 {
            bytes[..6].copy_from_slice(if form == 1 { b"SXL2\x01\0" } else { b"SXL1\x02\0" });
            // lengths that may fit
            for at in (6..40).step_by(2) {
                bytes[at + 1] &= u8::from(form == 3);
            }
            let mut sealed = BytesMut::from(&bytes[..]);
            seal(&mut sealed, None);
            bytes = sealed.to_vec();
        }
        let bytes = Bytes::from(bytes);
        if let Ok(stored) = decode(&bytes, b"", None, MAX) {
            prop_assert!(stored.body.len() < bytes.len());
        }
        let _ = Base::decode(&bytes, b"", None);
        prop_assert!(decode(&bytes, b"", Some(&secret("secret")), MAX).is_err());
    }

    #[test]
    fn a_base_is_read_as_it_was_written(
        names in prop::collection::vec("[a-z-]{1,20}", 0..20), key in prop::collection::vec(any::<u8>(), 0..60), is_signed: bool,
    ) {
        let secret = is_signed.then(|| secret("secret"));
        let names: Vec<HeaderName> = names.iter().map(|name| HeaderName::from_bytes(name.as_bytes()).unwrap()).collect();
        let mut other = names.clone();
        other.reverse();
        let Some(base) = Base::new(names) else { return Ok(()) };
        let other = Base::new(other).unwrap();
        prop_assert_eq!(other.names(), base.names(), "in whichever order");
        let bytes = base.encode(&key, secret.as_ref()).unwrap();
        prop_assert_eq!(Base::decode(&bytes, &key, secret.as_ref()), Ok(base));
        prop_assert_eq!(Base::decode(&bytes, &[&key[..], b"x"].concat(), secret.as_ref()), Err(DecodeError::WrongKey));
    }
}

#[test]
fn each_fault_has_its_name() {
    let (value, ours, others) = (Owned::plain(), secret("ours"), secret("others"));
    let key = &value.key;
    let plain = value.encode(None, MAX).unwrap();
    let signed = value.encode(Some(&ours), MAX).unwrap();
    let with = |bytes: &Bytes, at: usize, to: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = to;
        Bytes::from(bytes)
    };
    let end = plain.len();
    for (bytes, secret, expected) in [
        (Bytes::new(), None, DecodeError::Truncated),
        (plain.slice(..5), None, DecodeError::Truncated),
        (plain.slice(..10), None, DecodeError::Checksum),
        (plain.slice(..end - 1), None, DecodeError::Checksum),
        (Bytes::from(vec![b'x'; 100]), None, DecodeError::Magic),
        (with(&plain, 4, 2), None, DecodeError::Version),
        (with(&plain, end - 20, 0), None, DecodeError::Checksum),
        (with(&plain, end - 1, 0), None, DecodeError::Checksum),
        (plain.clone(), Some(&ours), DecodeError::Mac),
        (signed.clone(), Some(&others), DecodeError::Mac),
        (with(&signed, 40, 0), Some(&ours), DecodeError::Mac),
        // the flag taken away, and the signature with it
        (with(&signed, 5, 0).slice(..end), Some(&ours), DecodeError::Mac),
    ] {
        assert_eq!(decode(&bytes, key, secret, MAX).unwrap_err(), expected, "{bytes:?}");
    }
    for other in [&key[1..], &key[..key.len() - 1], b"", &[&key[..], b"x"].concat()] {
        assert_eq!(decode(&plain, other, None, MAX).unwrap_err(), DecodeError::WrongKey);
    }
    assert!(value.is(&decode(&signed, key, None, MAX).unwrap()), "who has no secret yet reads what others sign");
}

/// A record whose checksum is good and whose middle is not.
fn forged(change: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut bytes = BytesMut::from(&Owned::plain().encode(None, MAX).unwrap()[..]);
    bytes.truncate(bytes.len() - 8);
    change(&mut bytes);
    seal(&mut bytes, None);
    bytes.freeze()
}

#[test]
fn a_record_with_unsound_parts_is_none_although_its_checksum_is_good() {
    let key = Owned::plain().key;
    let read = |bytes: Bytes| decode(&bytes, &key, None, MAX);
    assert!(read(forged(|_| {})).is_ok());
    let set = |at: usize, to: &'static [u8]| forged(move |bytes| bytes[at..at + to.len()].copy_from_slice(to));
    // status, and the lengths of class, key, terms, tags, head and body, as the layout has them
    for (at, to, expected) in [
        (6, &[0, 0][..], DecodeError::Unsound),
        (6, &[0xff, 0xff], DecodeError::Unsound),
        (16, &[0xff, 0xff], DecodeError::Truncated),
        (18, &[0xff, 0xff, 0xff, 0xff], DecodeError::Truncated),
        (22, &[0xff, 0xff, 0xff, 0xff], DecodeError::Truncated),
        (26, &[33, 0], DecodeError::Unsound),
        (28, &[0xff, 0xff, 0xff, 0x7f], DecodeError::Truncated),
        (32, &[0xff, 0xff, 0xff, 0xff], DecodeError::Truncated),
        (32, &[0, 0, 0, 0], DecodeError::Truncated),
        (36, &[0xff], DecodeError::Unsound),
    ] {
        assert_eq!(read(set(at, to)).unwrap_err(), expected, "{to:?} at {at}");
    }
    let hostile = |name: &[u8], value: &[u8], count: usize| {
        let mut bytes = BytesMut::new();
        bytes.put_slice(b"SXL2\x01\0");
        bytes.put_u16_le(200);
        bytes.put_u64_le(0);
        bytes.put_u16_le(0);
        bytes.put_u32_le(key.len() as u32);
        bytes.put_u32_le(0);
        bytes.put_u16_le(0);
        bytes.put_u32_le(((6 + name.len() + value.len()) * count) as u32);
        bytes.put_u32_le(0);
        bytes.put_slice(&key);
        for _ in 0..count {
            bytes.put_u16_le(name.len() as u16);
            bytes.put_u32_le(value.len() as u32);
            bytes.put_slice(name);
            bytes.put_slice(value);
        }
        seal(&mut bytes, None);
        read(bytes.freeze()).map(|stored| stored.head.len())
    };
    assert_eq!(hostile(b"x-a", b"b", 1), Ok(1));
    assert_eq!(hostile(b"x-a", b"b", FIELDS_MAX), Ok(FIELDS_MAX));
    assert_eq!(hostile(b"x-a", b"b", FIELDS_MAX + 1), Err(DecodeError::Unsound));
    assert_eq!(hostile(b"x-a", b"", 100_000), Err(DecodeError::Unsound));
    for (name, value) in
        [(&b""[..], &b"b"[..]), (b"x a", b"b"), (b"x-a", b"b\r\nset-cookie: c"), (b"x-a:", b"b"), (b"x-a", b"\0")]
    {
        assert_eq!(hostile(name, value, 1), Err(DecodeError::Unsound), "{name:?} {value:?}");
    }
}

#[test]
fn a_value_with_more_than_readers_take_is_not_written() {
    let mut value = Owned::plain();
    value.tags = vec![0; TAGS_MAX + 1];
    assert!(value.encode(None, MAX).is_err());
    let mut value = Owned::plain();
    value.head = (0..=FIELDS_MAX).map(|number| (format!("x-{number}"), Vec::new())).collect();
    assert!(value.encode(None, MAX).is_err());
    let mut value = Owned::plain();
    value.class = "c".repeat(70_000);
    assert!(value.encode(None, MAX).is_err());
    let names = |count: usize| (0..count).map(|number| HeaderName::try_from(format!("x-{number}")).unwrap()).collect();
    assert!(Base::new(names(NAMES_MAX)).is_some());
    assert_eq!(Base::new(names(NAMES_MAX + 1)), None);
    assert!(Base::default().encode(&[0; BASE_BYTES_MAX], None).is_err());
}

#[test]
fn a_base_whose_names_are_out_of_order_is_none() {
    let names = ["accept", "origin"].map(|name| HeaderName::try_from(name).unwrap());
    let bytes = Base::new(names.to_vec()).unwrap().encode(b"k", None).unwrap();
    let mut swapped = BytesMut::from(&bytes[..bytes.len() - 8]);
    swapped[13..19].copy_from_slice(b"origin");
    swapped[21..27].copy_from_slice(b"accept");
    seal(&mut swapped, None);
    assert_eq!(Base::decode(&swapped.freeze(), b"k", None), Err(DecodeError::Unsound));
}

/// RFC 4231 §4.2 to §4.4 and §4.7: a key that is longer than a block.
#[test]
fn the_mac_is_that_of_the_rfc() {
    let hex = |mac: [u8; 32]| mac.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for (key, data, expected) in [
        (&[0x0b; 20][..], &b"Hi There"[..], "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        (
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ] {
        assert_eq!(hex(Secret::new(key).mac(data)), expected);
    }
}

#[test]
fn a_secret_is_not_shown() {
    assert_eq!(format!("{:?}", Secret::new(&[b'x'; 32])), "Secret(***)");
}
