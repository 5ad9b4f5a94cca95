//! Sales, and conversions that are none.
use super::MESSAGE;
use crate::common::{currency, number};
use crate::unknown::Unknown;
use crate::v1;
use crate::write::Writer;
use domain::facts::{
    ConversionKind, CouponRef, Recurrence, Referral, Sale, SaleDetails, SaleLine, ShareClaim, ShareOf,
};
use domain::money::Minor;

pub(crate) const fn recurrence_number(recurrence: Recurrence) -> v1::Recurrence {
    match recurrence {
        Recurrence::Unknown => v1::Recurrence::Unknown,
        Recurrence::First => v1::Recurrence::First,
        Recurrence::Renewal => v1::Recurrence::Renewal,
    }
}

pub(crate) fn recurrence(value: i32) -> Result<Recurrence, Unknown> {
    Ok(match number(MESSAGE, "recurrence", value)? {
        v1::Recurrence::Unknown => Recurrence::Unknown,
        v1::Recurrence::First => Recurrence::First,
        v1::Recurrence::Renewal => Recurrence::Renewal,
    })
}

pub(super) fn write(w: &mut Writer, sale: &Sale) {
    w.text(1, &sale.external_id);
    w.text(2, sale.currency.code());
    w.int(3, sale.gross.0);
    w.maybe_int(4, sale.net.map(|net| net.0));
    for line in &sale.lines {
        w.message(5, |w| {
            w.text(1, &line.line_id);
            w.int(2, line.net.0);
            w.text(3, &line.product_id);
            w.text(4, &line.price_id);
            w.uint(5, u64::from(line.quantity));
            w.text(6, &line.plan);
            w.text(7, &line.category);
            w.text(8, &line.product_key);
        });
    }
    w.text(6, &sale.subscription_id);
    w.number(7, recurrence_number(sale.recurrence));
    if let Some(referral) = &sale.referral {
        w.message(8, |w| {
            w.text(1, &referral.code);
            w.text(2, &referral.found_at);
        });
    }
    match &sale.coupon {
        Some(CouponRef::Code(code)) => w.message(9, |w| w.present(1, code.as_bytes())),
        Some(CouponRef::ProviderRef(reference)) => w.message(9, |w| w.present(2, reference.as_bytes())),
        None => {}
    }
    sale.aliases.iter().for_each(|alias| w.present(10, alias.as_bytes()));
    w.text(11, &sale.details.country);
    w.text(12, &sale.details.interval);
    write_metadata(w, 13, &sale.details.metadata);
    write_conversion(w, 14, &sale.details);
    for share in &sale.details.shares {
        w.message(16, |w| {
            match &share.of {
                ShareOf::Partner(partner) => w.present(1, partner.as_str().as_bytes()),
                ShareOf::Code(code) => w.present(2, code.as_bytes()),
            }
            w.uint(3, u64::from(share.weight));
        });
    }
    w.flag(17, sale.details.publishable);
}

/// The kind of a conversion at `tag`, its failed checks at the next one.
pub(crate) fn write_conversion(w: &mut Writer, tag: u32, details: &SaleDetails) {
    if !details.kind.is_sale() {
        w.text(tag, details.kind.name());
    }
    details.fraud.iter().for_each(|rule| w.present(tag + 1, rule.as_bytes()));
}

pub(crate) fn conversion(name: &str) -> Result<ConversionKind, Unknown> {
    match name {
        "" => Ok(ConversionKind::Sale),
        name => ConversionKind::parse(name).ok_or_else(|| Unknown::value(MESSAGE, "conversion", name)),
    }
}

pub(crate) fn write_metadata(w: &mut Writer, tag: u32, metadata: &[(String, String)]) {
    for (key, value) in metadata {
        w.message(tag, |w| {
            w.text(1, key);
            w.text(2, value);
        });
    }
}

pub(crate) fn metadata(metadata: Vec<v1::Metadata>) -> Vec<(String, String)> {
    metadata.into_iter().map(|entry| (entry.key, entry.value)).collect()
}

pub(super) fn read(sale: v1::Sale) -> Result<Sale, Unknown> {
    let mut lines = Vec::with_capacity(sale.lines.len());
    for line in sale.lines {
        lines.push(SaleLine {
            line_id: line.line_id,
            net: Minor(line.net_minor),
            product_id: line.product_id,
            price_id: line.price_id,
            quantity: u32::try_from(line.quantity)
                .map_err(|_| Unknown::value(MESSAGE, "quantity", line.quantity))?,
            plan: line.plan,
            category: line.category,
            product_key: line.product_key,
        });
    }
    let coupon = match sale.coupon {
        None => None,
        Some(v1::CouponRef { by: Some(v1::coupon_ref::By::Code(code)) }) => Some(CouponRef::Code(code)),
        Some(v1::CouponRef { by: Some(v1::coupon_ref::By::ProviderRef(reference)) }) => {
            Some(CouponRef::ProviderRef(reference))
        }
        Some(v1::CouponRef { by: None }) => return Err(Unknown::value(MESSAGE, "coupon", "of a new kind")),
    };
    Ok(Sale {
        external_id: sale.external_id,
        currency: currency(MESSAGE, &sale.currency)?,
        gross: Minor(sale.gross_minor),
        net: sale.net_minor.map(Minor),
        lines,
        subscription_id: sale.subscription_id,
        recurrence: recurrence(sale.recurrence)?,
        referral: sale.referral.map(|referral| Referral { code: referral.code, found_at: referral.found_at }),
        coupon,
        aliases: sale.aliases,
        details: SaleDetails {
            country: sale.country,
            interval: sale.interval,
            metadata: metadata(sale.metadata),
            kind: conversion(&sale.conversion)?,
            fraud: sale.fraud,
            shares: sale.shares.into_iter().map(share).collect::<Result<_, _>>()?,
            publishable: sale.publishable,
        },
    })
}

fn share(share: v1::ShareClaim) -> Result<ShareClaim, Unknown> {
    let of = match share.of {
        Some(v1::share_claim::Of::PartnerId(partner)) => ShareOf::Partner(partner.into()),
        Some(v1::share_claim::Of::Code(code)) => ShareOf::Code(code),
        None => return Err(Unknown::value(MESSAGE, "share", "of a new kind")),
    };
    Ok(ShareClaim { of, weight: share.weight })
}
