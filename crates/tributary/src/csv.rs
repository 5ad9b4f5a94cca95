//! CSV as RFC 4180 has it.
use domain::money::Currency;

/// A cell.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell<'a> {
    /// What somebody wrote. A spreadsheet would take some texts for formulas: those get an apostrophe in front.
    Text(&'a str),
    /// What we wrote, or what must stay as it is.
    Exact(&'a str),
    /// A whole number.
    Number(i64),
    /// Nothing.
    Empty,
}

impl<'a> Cell<'a> {
    /// The text, where there is one.
    pub(crate) fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Empty, Self::Text)
    }

    /// The number, where there is one.
    pub(crate) fn number(number: Option<i64>) -> Self {
        number.map_or(Self::Empty, Self::Number)
    }
}

/// Rows, each ended by CR and LF.
#[derive(Debug, Default)]
pub(crate) struct Csv(String);

impl Csv {
    /// Adds a row.
    pub(crate) fn row<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) {
        for (place, cell) in cells.into_iter().enumerate() {
            if place > 0 {
                self.0.push(',');
            }
            match cell {
                Cell::Text(text) if is_formula(text) => self.field(&format!("'{text}")),
                Cell::Text(text) | Cell::Exact(text) => self.field(text),
                Cell::Number(number) => self.0.push_str(&number.to_string()),
                Cell::Empty => {}
            }
        }
        self.0.push_str("\r\n");
    }

    /// The whole.
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    fn field(&mut self, text: &str) {
        if text.contains([',', '"', '\r', '\n']) {
            self.0.push('"');
            self.0.push_str(&text.replace('"', "\"\""));
            self.0.push('"');
        } else {
            self.0.push_str(text);
        }
    }
}

/// A spreadsheet computes what begins so, and shows what it likes.
pub(crate) fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n'])
}

/// An amount with the decimals of its currency, exactly: 1470 of USD is `14.70`, of JPY `1470`.
pub(crate) fn decimal(minor: i64, currency: Currency) -> String {
    let places = usize::from(currency.exponent());
    let sign = if minor < 0 { "-" } else { "" };
    let digits = minor.unsigned_abs().to_string();
    let digits = format!("{digits:0>least$}", least = places + 1);
    let (whole, part) = digits.split_at(digits.len() - places);
    if places == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be_and_no_text_becomes_a_formula() {
        let mut csv = Csv::default();
        csv.row([
            Cell::Text("plain"),
            Cell::Text("a,b"),
            Cell::Text("say \"it\""),
            Cell::Text("two\nlines"),
            Cell::Empty,
        ]);
        csv.row([
            Cell::Text("=1+1"),
            Cell::Text("@x"),
            Cell::Text("-2"),
            Cell::Number(-2),
            Cell::Exact("+15551234567"),
        ]);
        let lines = "plain,\"a,b\",\"say \"\"it\"\"\",\"two\nlines\",\r\n'=1+1,'@x,'-2,-2,+15551234567\r\n";
        assert_eq!(csv.into_text(), lines);
    }

    #[test]
    fn an_amount_has_exactly_the_decimals_of_its_currency() {
        let decimal = |minor, code| decimal(minor, Currency::parse(code).unwrap());
        assert_eq!(decimal(1470, "USD"), "14.70");
        assert_eq!(decimal(-5, "EUR"), "-0.05");
        assert_eq!(decimal(1000, "JPY"), "1000");
        assert_eq!(decimal(10_000, "KWD"), "10.000");
        assert_eq!(decimal(i64::MIN, "USD"), "-92233720368547758.08");
    }
}
