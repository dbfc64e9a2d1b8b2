//! Word of new records, for those who read the log along: free for the writer as long as nobody waits.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Wakes readers of the log. A writer pays one load of a flag a record, and one wake-up for all records that are written
/// until the readers wait again.
#[derive(Debug, Default)]
pub(crate) struct News {
    awaited: AtomicBool,
    notify: Notify,
}

impl News {
    /// A record was written; its number can be seen by whoever asks the log for the newest.
    pub(crate) fn tell(&self) {
        // Relaxed is enough: the log's own lock orders this load after the number, and the reader's store before its look.
        if self.awaited.load(Ordering::Relaxed) && self.awaited.swap(false, Ordering::Relaxed) {
            self.notify.notify_waiters();
        }
    }

    /// Completes when `newest`, which asks the log under its lock, is greater than `seq`.
    pub(crate) async fn beyond(&self, seq: u64, newest: impl Fn() -> u64) {
        loop {
            let notified = self.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            self.awaited.store(true, Ordering::Relaxed);
            if newest() > seq {
                return;
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[tokio::test]
    async fn everybody_who_waits_is_woken_and_only_for_what_is_new() {
        let news = Arc::new(News::default());
        let newest = Arc::new(AtomicU64::new(3));
        let waiting = |seq| {
            let (news, newest) = (news.clone(), newest.clone());
            tokio::spawn(async move { news.beyond(seq, || newest.load(Ordering::SeqCst)).await })
        };
        waiting(2).await.unwrap();
        let (first, second, later) = (waiting(3), waiting(3), waiting(4));
        tokio::task::yield_now().await;
        newest.store(4, Ordering::SeqCst);
        news.tell();
        first.await.unwrap();
        second.await.unwrap();
        tokio::task::yield_now().await;
        assert!(!later.is_finished());
        newest.store(5, Ordering::SeqCst);
        news.tell();
        later.await.unwrap();
    }
}
