//! Payment providers: one adapter each, beside the traps of its fact sheet (`docs/providers`).
mod details;
mod metadata;
pub mod paddle;
pub mod stripe;
