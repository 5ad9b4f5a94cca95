//! A law has a name, and a history that breaks it is told with that name.
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A law of `docs/reference/ledger.md` that a history breaks.
#[derive(Debug, Clone)]
pub struct Broken {
    pub law: &'static str,
    pub detail: String,
}

/// `Err` with the law's name unless it holds.
macro_rules! law {
    ($name:expr, $holds:expr, $($detail:tt)+) => {
        if !$holds {
            return Err($crate::laws::law::Broken { law: $name, detail: format!($($detail)+) });
        }
    };
}
pub(crate) use law;

/// What panics breaks a law as well.
pub fn caught<T>(task: impl FnOnce() -> Result<T, Broken>) -> Result<T, Broken> {
    catch_unwind(AssertUnwindSafe(task)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Broken { law: "nothing panics", detail: text.unwrap_or_default() })
    })
}
