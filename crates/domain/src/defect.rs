//! Panics are defects, and defects are recorded (protocol, rule 8): this is what is recorded of one.

/// What a panic said, cut to a length that a frame and a log line can bear.
#[must_use]
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a text".to_owned());
    text.chars().take(500).collect()
}
