//! What proxies write to the store about themselves, and what others read of it: any proxy may have been taken over.

use synaxis_routing::{
    ack::{ACK_BYTES_MAX, Ack, LIVE},
    store::LogEntry,
};

/// The store's clock when the ack is read.
const NOW: u64 = 1_768_000_000_000;

/// Reads the bytes as an ack and as an entry of the history.
pub fn body(bytes: &[u8]) {
    if let Ok(entry) = serde_json::from_slice::<LogEntry>(bytes) {
        let again = serde_json::to_vec(&entry).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        assert_eq!(again, Some(entry));
    }
    let Ok(ack) = serde_json::from_slice::<Ack>(bytes) else { return };
    assert!(!ack.is_live(NOW) || ack.at > NOW - LIVE, "{} is old", ack.at);
    match ack.encode() {
        Ok(json) => {
            assert!(json.len() <= ACK_BYTES_MAX && ack.applied.is_countable());
            let again: Ack = serde_json::from_str(&json).unwrap();
            assert_eq!((again.proxy, again.stamp, again.applied), (ack.proxy, ack.stamp, ack.applied));
        }
        Err(why) => assert!(!why.is_empty() && why.len() < 200, "{why}"),
    }
}
