//! The one place that reads the time and waits.

use std::time::Duration;

use jiff::Timestamp;

#[expect(clippy::disallowed_methods, reason = "the module that owns the clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Between two looks at something that is being watched.
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
