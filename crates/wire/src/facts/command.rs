//! What somebody asks of a commission.
use super::MESSAGE;
use crate::common::{currency, number, sale_key, write_sale_key};
use crate::unknown::Unknown;
use crate::v1;
use crate::write::Writer;
use domain::facts::{Adjustment, Command, CommandKind, Reprice};
use domain::money::Minor;

pub(super) fn write(w: &mut Writer, command: &Command) {
    w.number(1, command_number(command.kind));
    w.text(2, command.commission.as_str());
    w.text(3, &command.reason);
    w.text(4, &command.actor);
    w.text(5, &command.hold);
    if let Some(adjustment) = &command.adjustment {
        w.message(6, |w| {
            w.text(1, adjustment.partner.as_str());
            w.int(2, adjustment.amount.0);
            w.text(3, adjustment.currency.code());
        });
    }
    if let Some(reprice) = &command.reprice {
        w.message(7, |w| write_reprice(w, reprice));
    }
}

pub(super) fn read(command: v1::Command) -> Result<Command, Unknown> {
    Ok(Command {
        kind: command_kind(command.kind)?,
        commission: command.commission_id.into(),
        reason: command.reason,
        actor: command.actor,
        hold: command.hold,
        adjustment: command.adjustment.map(adjustment).transpose()?,
        reprice: command.reprice.map(|reprice| self::reprice(reprice).map(Box::new)).transpose()?,
    })
}

const fn command_number(kind: CommandKind) -> v1::CommandKind {
    match kind {
        CommandKind::Approve => v1::CommandKind::Approve,
        CommandKind::Reject => v1::CommandKind::Reject,
        CommandKind::Reinstate => v1::CommandKind::Reinstate,
        CommandKind::Hold => v1::CommandKind::Hold,
        CommandKind::Release => v1::CommandKind::Release,
        CommandKind::Bonus => v1::CommandKind::Bonus,
        CommandKind::Correction => v1::CommandKind::Correction,
        CommandKind::Debit => v1::CommandKind::Debit,
        CommandKind::Reprice => v1::CommandKind::Reprice,
    }
}

fn command_kind(value: i32) -> Result<CommandKind, Unknown> {
    match number(MESSAGE, "command", value)? {
        v1::CommandKind::Approve => Ok(CommandKind::Approve),
        v1::CommandKind::Reject => Ok(CommandKind::Reject),
        v1::CommandKind::Reinstate => Ok(CommandKind::Reinstate),
        v1::CommandKind::Hold => Ok(CommandKind::Hold),
        v1::CommandKind::Release => Ok(CommandKind::Release),
        v1::CommandKind::Bonus => Ok(CommandKind::Bonus),
        v1::CommandKind::Correction => Ok(CommandKind::Correction),
        v1::CommandKind::Debit => Ok(CommandKind::Debit),
        v1::CommandKind::Reprice => Ok(CommandKind::Reprice),
        v1::CommandKind::Unspecified => Err(Unknown::value(MESSAGE, "command", value)),
    }
}

fn adjustment(adjustment: v1::Adjustment) -> Result<Adjustment, Unknown> {
    Ok(Adjustment {
        partner: adjustment.partner_id.into(),
        amount: Minor(adjustment.amount_minor),
        currency: currency(MESSAGE, &adjustment.currency)?,
    })
}

fn write_reprice(w: &mut Writer, reprice: &Reprice) {
    write_sale_key(w, 1, &reprice.sale);
    w.text(2, reprice.partner.as_str());
    w.text(3, reprice.currency.code());
    w.int(4, reprice.expected_net.0);
    w.int(5, reprice.net.0);
    w.int(6, reprice.gross.0);
    w.message(7, |w| crate::terms::write(w, &reprice.terms, reprice.gross));
}

fn reprice(reprice: v1::Reprice) -> Result<Reprice, Unknown> {
    let gross = Minor(reprice.gross_minor);
    Ok(Reprice {
        sale: sale_key(MESSAGE, reprice.sale)?,
        partner: reprice.partner_id.into(),
        currency: currency(MESSAGE, &reprice.currency)?,
        expected_net: Minor(reprice.expected_net_minor),
        net: Minor(reprice.net_minor),
        gross,
        terms: crate::terms::read(reprice.terms.ok_or(Unknown::field(MESSAGE, "terms"))?, gross)?,
    })
}
