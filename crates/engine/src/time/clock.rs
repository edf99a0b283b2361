//! Time as the engine sees it: a [`Clock`] is handed to whatever needs one, so that a test can own time.
use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::watch;

/// Processing time. The engine never reads the machine's clock in any other way.
#[async_trait]
pub trait Clock: Debug + Send + Sync + 'static {
    /// Milliseconds since the epoch.
    fn now_ms(&self) -> i64;
    /// Returns once `now_ms() >= at_ms`.
    async fn sleep_until(&self, at_ms: i64);
}

/// Shared handle to a clock.
pub type ClockRef = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        chrono::Utc::now().timestamp_millis()
    }

    async fn sleep_until(&self, at_ms: i64) {
        let wait_ms = at_ms.saturating_sub(self.now_ms()).max(0);
        tokio::time::sleep(Duration::from_millis(wait_ms.unsigned_abs())).await;
    }
}

/// A clock that stands still until it is advanced.
///
/// ```
/// use millstream_engine::time::{Clock, ManualClock};
/// let clock = ManualClock::new(1_000);
/// clock.advance(500);
/// assert_eq!(clock.now_ms(), 1_500);
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: Arc<watch::Sender<i64>>,
}

impl ManualClock {
    /// A clock that shows `now_ms`.
    pub fn new(now_ms: i64) -> Self {
        Self {
            now: Arc::new(watch::Sender::new(now_ms)),
        }
    }

    /// Moves time forward and wakes who waited for it.
    pub fn advance(&self, by_ms: i64) {
        self.now.send_modify(|now| *now += by_ms);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        *self.now.borrow()
    }

    async fn sleep_until(&self, at_ms: i64) {
        let mut changes = self.now.subscribe();
        while *changes.borrow_and_update() < at_ms {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}
