use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use super::*;

fn fill(length: Option<u64>) -> (Writer, Arc<Fill>) {
    Fill::new(length, 0, &Arc::new(Room::new(1 << 30)))
}

fn next(reader: &mut Reader) -> Poll<Option<Result<Bytes, Broken>>> {
    reader.poll_piece(&mut Context::from_waker(Waker::noop()))
}

fn piece(text: &'static str) -> Poll<Option<Result<Bytes, Broken>>> {
    Poll::Ready(Some(Ok(Bytes::from_static(text.as_bytes()))))
}

#[test]
fn every_reader_has_all_of_it_whenever_it_comes() {
    let (writer, fill) = fill(Some(6));
    let mut early = fill.read().unwrap();
    assert!(next(&mut early).is_pending());
    let _ = writer.push("abc".into());
    assert_eq!(next(&mut early), piece("abc"));
    let mut late = fill.read().unwrap();
    let _ = writer.push("def".into());
    assert_eq!((early.left(), late.left(), writer.bytes()), (Some(3), Some(6), 6));
    for text in ["abc", "def"] {
        assert_eq!(next(&mut late), piece(text));
    }
    assert!(next(&mut late).is_pending(), "it may go on");
    let whole = writer.whole();
    assert_eq!(whole.as_deref(), Some(&b"abcdef"[..]));
    writer.finish(whole);
    assert_eq!(next(&mut late), Poll::Ready(None));
    assert!(late.is_over() && !early.is_over());
    assert_eq!(next(&mut early), piece("def"));
    assert_eq!(next(&mut early), Poll::Ready(None));
}

#[test]
fn nobody_hears_of_the_last_piece_before_the_end() {
    let woken = Arc::new(Woken::default());
    let (writer, fill) = fill(Some(3));
    let mut reader = fill.read().unwrap();
    let waker = Waker::from(Arc::clone(&woken));
    assert!(reader.poll_piece(&mut Context::from_waker(&waker)).is_pending());
    assert!(writer.push_last("abc".into()));
    assert_eq!(woken.0.load(Relaxed), 0);
    let whole = writer.whole();
    writer.finish(whole);
    assert_eq!(woken.0.load(Relaxed), 1);
    assert_eq!(next(&mut reader), piece("abc"));
}

#[derive(Default)]
struct Woken(AtomicU64);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn a_body_that_breaks_off_never_looks_whole() {
    let (writer, fill) = fill(None);
    let mut reader = fill.read().unwrap();
    assert!(writer.push("abc".into()));
    drop(writer);
    assert_eq!(next(&mut reader), piece("abc"));
    assert_eq!(next(&mut reader), Poll::Ready(Some(Err(Broken))));
    assert!(!reader.is_over());
    assert!(fill.read().is_none(), "whoever comes now may still have another one");
}

#[test]
fn what_is_too_large_to_keep_waits_for_its_reader() {
    let (writer, fill) = fill(None);
    let mut reader = fill.read().unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let _ = writer.push("a".into());
    let _ = writer.push("b".into());
    assert_eq!(next(&mut reader), piece("a"));
    writer.pass_on();
    assert!(fill.read().is_none(), "its first byte is gone");
    let _ = writer.push(vec![0; usize::try_from(WINDOW).unwrap()].into());
    assert!(pin!(writer.room()).poll(&mut cx).is_pending());
    assert_eq!(next(&mut reader), piece("b"));
    assert!(pin!(writer.room()).poll(&mut cx).is_pending());
    assert!(matches!(next(&mut reader), Poll::Ready(Some(Ok(large))) if large.len() as u64 == WINDOW));
    assert_eq!(pin!(writer.room()).poll(&mut cx), Poll::Ready(Ok(())));
    assert_eq!(writer.bytes(), 0);
    drop(reader);
    assert_eq!(pin!(writer.room()).poll(&mut cx), Poll::Ready(Err(Broken)));
    assert!(writer.whole().is_none());
    writer.finish(None);
}

#[tokio::test]
async fn who_waits_is_woken_from_another_thread() {
    let (writer, fill) = fill(None);
    let readers: Vec<_> = (0..100)
        .map(|_| {
            let mut reader = fill.read().unwrap();
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                while let Some(piece) = poll_fn(|cx| reader.poll_piece(cx)).await {
                    bytes.extend_from_slice(&piece.unwrap());
                }
                bytes
            })
        })
        .collect();
    let writing = std::thread::spawn(move || {
        for number in 0..1_000_u32 {
            let _ = writer.push(number.to_le_bytes().to_vec().into());
        }
        let whole = writer.whole();
        writer.finish(whole.clone());
        whole
    });
    let whole = writing.join().unwrap().unwrap();
    assert_eq!(whole.len(), 4_000);
    for reader in readers {
        assert_eq!(reader.await.unwrap(), whole);
    }
    assert!(fill.state().readers.is_empty());
}

#[test]
fn what_comes_takes_room_until_it_is_there_or_gone() {
    let room = Arc::new(Room::new(4));
    let (writer, fill) = Fill::new(None, 0, &room);
    let mut slow = fill.read().unwrap();
    assert!(writer.push("abcd".into()));
    assert_eq!(room.taken(), 4);
    assert!(!writer.push("e".into()), "one too many");
    assert_eq!(next(&mut slow), piece("abcd"));
    let whole = writer.whole();
    assert_eq!(whole.as_deref(), Some(&b"abcde"[..]));
    writer.finish(whole);
    assert_eq!(room.taken(), 0, "it takes what the kept answer takes");
    assert_eq!(next(&mut slow), piece("e"));
    assert_eq!(next(&mut slow), Poll::Ready(None));
    let (writer, fill) = Fill::new(None, 0, &room);
    let reader = fill.read().unwrap();
    let _ = writer.push("xyz".into());
    drop((writer, reader, fill));
    assert_eq!(room.taken(), 0);
}

#[test]
fn room_that_is_taken_before_is_not_taken_again() {
    let room = Arc::new(Room::new(10));
    assert!(room.take(6) && !room.take(5) && room.taken() == 6);
    let (writer, fill) = Fill::new(Some(6), 6, &room);
    assert!(writer.push("abcdef".into()));
    assert_eq!(room.taken(), 6);
    let whole = writer.whole();
    writer.finish(whole);
    assert_eq!(room.taken(), 0);
    drop(fill);
    assert_eq!(room.taken(), 0);
}
