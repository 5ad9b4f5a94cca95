//! Card numbers: found before anything is logged, because a log cannot forget.

/// Digits that a card number has.
const LENGTHS: std::ops::RangeInclusive<usize> = 13..=19;

/// Whether the whole text is a card number: 13 to 19 digits with blanks or dashes between them, an issuer's first digit (2 to
/// 6), and a right Luhn check digit. Ids that begin with 1 (moments, most often) are no cards; a text around the digits is
/// enough to keep an id from being taken for one.
pub(super) fn is_card_number(text: &str) -> bool {
    let mut digits = Vec::with_capacity(*LENGTHS.end());
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' if digits.len() < *LENGTHS.end() => digits.push(byte - b'0'),
            b' ' | b'-' => {}
            _ => return false,
        }
    }
    LENGTHS.contains(&digits.len()) && matches!(digits.first(), Some(2..=6)) && luhn(&digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let weighted = u32::from(*digit) << (place % 2);
            if weighted > 9 { weighted - 9 } else { weighted }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_test_cards_are_found_and_ids_are_not() {
        for card in [
            "4242424242424242",
            "4000 0566 5566 5556",
            "5555-5555-5555-4444",
            "378282246310005",
            "6011111111111117",
            "3056930009020004",
            "2223003122003222",
            "6205500000000000004",
            "4222222222222",
        ] {
            assert!(is_card_number(card), "{card}");
        }
        for id in ["4242424242424241", "order 4242424242424242", "1700000000000", "42424242", "", "----"] {
            assert!(!is_card_number(id), "{id}");
        }
    }
}
