//! Payouts: what is payable of each commission, what pays which debt, and how a payout is drafted, settled, failed or returned.
//!
//! Beside the balance each commission has a purse ([`Purse`]): what of `available` stands for it, or what the partner owes
//! because of it. Always: sum of what is payable - sum of what is owed = available - debt. Offsets match the two; a line of a
//! payout is what is payable of a commission then.
mod command;
mod draft;
mod fx;
mod offset;
mod purse;
mod rows;
mod schedule;
mod settle;
mod write_off;

pub(in crate::commission) use purse::Purse;
pub(in crate::commission) use rows::{Holder, PayoutRows};
