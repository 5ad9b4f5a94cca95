//! Request and answer forms of hosted trackers whose clients only change the host (`docs/dialects`).
pub mod revshare;
