//! One direction over pipes of a few bytes.

use std::{task::Waker, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    time::timeout,
};

use super::{super::frames::close, *};

/// The way and what its sender and receiver hold.
struct Bench {
    way: Way,
    from: DuplexStream,
    to: DuplexStream,
    sender: DuplexStream,
    receiver: DuplexStream,
}

impl Bench {
    fn new(pipe: usize) -> Self {
        let ((sender, from), (to, receiver)) = (duplex(64 << 10), duplex(pipe));
        Self { way: Way::new(Bytes::new()), from, to, sender, receiver }
    }

    fn poll(&mut self) -> Poll<io::Result<()>> {
        self.way.poll(&mut Context::from_waker(Waker::noop()), &mut self.from, &mut self.to)
    }

    /// What the receiver gets while the way is polled again and again.
    async fn received(&mut self, bytes: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < bytes {
            let _ = self.poll();
            // the pipes yield when they were used for long, and nobody would wake the way
            let mut some = vec![0; bytes - all.len()];
            let read = timeout(Duration::from_millis(1), self.receiver.read(&mut some)).await;
            all.extend_from_slice(&some[..read.map_or(0, Result::unwrap)]);
        }
        all
    }
}

#[tokio::test]
async fn a_receiver_that_takes_little_holds_the_sender_back_and_loses_nothing() {
    let mut bench = Bench::new(100);
    let sent: Vec<u8> = (0..60_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    bench.sender.write_all(&sent).await.unwrap();
    for _ in 0..100 {
        assert!(bench.poll().is_pending());
        assert!(bench.way.rest.len() <= PIECE && bench.way.bytes <= PIECE as u64, "one piece is held, no more");
    }
    assert_eq!(bench.received(sent.len()).await, sent);
    bench.sender.shutdown().await.unwrap();
    assert!(matches!(bench.poll(), Poll::Ready(Ok(()))));
    assert!(matches!(bench.poll(), Poll::Ready(Ok(()))), "over is over");
    assert_eq!(bench.receiver.read(&mut [0]).await.unwrap(), 0, "the end is passed on");
}

#[tokio::test]
async fn goodbye_waits_for_the_end_of_a_frame_and_is_the_last_word() {
    let goodbye = close(1001, None);
    for (before, after, expected) in [
        // between two frames
        (&[0x82, 2, 7, 7][..], &[0x82, 1, 8][..], &[0x82, 2, 7, 7, 0x88, 2, 3, 0xE9][..]),
        (&[], &[0x82, 1, 8], &[0x88, 2, 3, 0xE9]),
        // in a header, in a payload; what comes with its end is not passed on
        (&[0x82], &[1, 8, 0x82, 1, 9], &[0x82, 1, 8, 0x88, 2, 3, 0xE9]),
        (&[0x82, 3, 7], &[7, 7, 0x82, 1, 9], &[0x82, 3, 7, 7, 7, 0x88, 2, 3, 0xE9]),
        // the sender closes first, or with the frame that was waited for
        (&[0x88, 2, 3, 0xE8], &[], &[0x88, 2, 3, 0xE8]),
        (&[0x88, 2, 3], &[0xE8], &[0x88, 2, 3, 0xE8]),
        (&[0x88], &[2, 3, 0xE8], &[0x88, 2, 3, 0xE8]),
    ] {
        let mut bench = Bench::new(64);
        bench.sender.write_all(before).await.unwrap();
        assert!(bench.poll().is_pending());
        bench.way.part(goodbye.clone());
        assert_eq!(bench.way.has_parted(), !matches!(before, [0x82] | [0x82, 3, 7] | [0x88]), "{before:?}");
        for byte in after {
            bench.sender.write_all(&[*byte]).await.unwrap();
            assert!(bench.poll().is_pending());
        }
        assert!(bench.poll().is_pending());
        assert!(bench.way.has_parted(), "{before:?} {after:?}");
        let closes = before.first() == Some(&0x88);
        assert_eq!(bench.way.is_closed(), closes, "{before:?} {after:?}");
        if !closes {
            bench.sender.write_all(&[0x88, 0]).await.unwrap();
            assert!(bench.poll().is_pending());
            assert!(bench.way.is_closed(), "the sender has answered: {before:?} {after:?}");
        }
        bench.sender.shutdown().await.unwrap();
        assert!(bench.poll().is_ready());
        let mut all = Vec::new();
        drop(bench.to);
        bench.receiver.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, expected, "{before:?} {after:?}");
    }
}
