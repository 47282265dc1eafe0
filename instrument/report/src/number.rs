//! Numbers as people read them: sensible digits, a unit that fits, intervals in words.
//!
//! Deliberately knows nothing of metrics: the caller says which unit a number has.

/// What a number counts, as far as its form on the page depends on it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Unit {
    /// A time; the factor turns the finding's number into seconds.
    Time(f64),
    /// MiB; large ones are shown as GiB.
    Mib,
    /// A part of a whole, shown in percent.
    Percent,
    /// CPUs' worth of time.
    Cpus,
    /// US dollars.
    Usd,
    /// Whole things.
    Count,
    /// Anything else, with its unit as it stands.
    Plain(String),
}

/// A number and its unit, apart, so that they can be set in different sizes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Quantity {
    /// Digits with separators.
    pub(crate) number: String,
    /// Unit; empty where there is none.
    pub(crate) unit: String,
}

impl Quantity {
    /// Both in one line.
    pub(crate) fn text(&self) -> String {
        if self.unit.is_empty() {
            self.number.clone()
        } else {
            format!("{}\u{a0}{}", self.number, self.unit)
        }
    }
}

/// An interval whose ends may be open.
pub(crate) type Interval = (Option<f64>, Option<f64>);

/// `value` with three significant digits, fewer where it is round.
pub(crate) fn quantity(value: f64, unit: &Unit) -> Quantity {
    shown(value, None, unit).0
}

/// `value` with two significant digits, for headlines; three of a ratio, which says most by what it has beyond 1.
pub(crate) fn headline(value: f64, unit: &Unit) -> Quantity {
    if !value.is_finite() {
        return Quantity { number: "\u{2013}".into(), unit: String::new() };
    }
    let (factor, suffix) = scale(unit, value);
    let scaled = value * factor;
    let most = match unit {
        Unit::Count => 1,
        Unit::Plain(unit) if unit == "×" => significant(scaled, 3),
        _ => significant(scaled, 2),
    };
    let decimals = fewest_decimals(&[scaled], most);
    Quantity { number: grouped(scaled, decimals), unit: suffix }
}

/// `value` and its interval in the same unit and with the same digits.
pub(crate) fn shown(
    value: f64,
    interval: Option<Interval>,
    unit: &Unit,
) -> (Quantity, Option<String>) {
    if !value.is_finite() {
        return (Quantity { number: "\u{2013}".into(), unit: String::new() }, None);
    }
    let ends = [interval.and_then(|i| i.0), interval.and_then(|i| i.1)];
    let ends = ends.map(|end| end.filter(|e| e.is_finite()));
    let magnitude = if value == 0.0 { ends[1].or(ends[0]).unwrap_or(0.0) } else { value };
    let (factor, suffix) = scale(unit, magnitude);
    let mut numbers = vec![value * factor];
    numbers.extend(ends.iter().flatten().map(|end| end * factor));
    let decimals = decimals_for(&numbers, unit);
    let text = |x: f64| grouped(x * factor, decimals);
    let with_unit = |s: String| Quantity { number: s, unit: suffix.clone() }.text();
    let interval = interval.map(|_| match ends {
        [Some(low), Some(high)] if text(low) == text(high) => with_unit(text(low)),
        [Some(low), Some(high)] => with_unit(format!("{} to {}", text(low), text(high))),
        [Some(low), None] => with_unit(format!("at least {}", text(low))),
        [None, Some(high)] => with_unit(format!("at most {}", text(high))),
        [None, None] => "open at both ends".into(),
    });
    (Quantity { number: text(value), unit: suffix }, interval)
}

/// A whole number with separators: `1,234,567`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A length of time in words: `2 min 41 s`, `3 h 20 min`, `4.2 s`.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return quantity(seconds, &Unit::Time(1.0)).text();
    }
    let whole = seconds.round() as u64;
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 {
        format!("{}\u{a0}h {minutes}\u{a0}min", count(hours))
    } else {
        format!("{minutes}\u{a0}min {rest}\u{a0}s")
    }
}

/// Factor and suffix that make a number of about `magnitude` readable.
fn scale(unit: &Unit, magnitude: f64) -> (f64, String) {
    let size = magnitude.abs();
    match unit {
        Unit::Time(seconds) => {
            let (factor, suffix) = match size * seconds {
                0.0 => (1.0, "s"),
                s if s < 1e-3 => (1e6, "µs"),
                s if s < 1.0 => (1e3, "ms"),
                s if s < 120.0 => (1.0, "s"),
                s if s < 7_200.0 => (1.0 / 60.0, "min"),
                s if s < 172_800.0 => (1.0 / 3_600.0, "h"),
                _ => (1.0 / 86_400.0, "days"),
            };
            (seconds * factor, suffix.into())
        }
        Unit::Mib if size >= 10_240.0 => (1.0 / 1_024.0, "GiB".into()),
        Unit::Mib => (1.0, "MiB".into()),
        Unit::Percent => (100.0, "%".into()),
        Unit::Cpus => (1.0, "CPU".into()),
        Unit::Usd => (1.0, "US$".into()),
        Unit::Count => (1.0, String::new()),
        Unit::Plain(name) => (1.0, name.clone()),
    }
}

/// Decimals for a value and its ends, so that ends that differ look different.
fn decimals_for(numbers: &[f64], unit: &Unit) -> usize {
    if matches!(unit, Unit::Count) {
        return fewest_decimals(numbers, 1);
    }
    // Beside a zero its bounds say how fine the number is.
    let digits = if numbers[0] == 0.0 { 2 } else { 3 };
    let sized = numbers.iter().copied().find(|x| *x != 0.0).unwrap_or(0.0);
    let mut most = significant(sized, digits);
    if let [_, low, high] = *numbers {
        let limit = most + 3;
        while most < limit && low != high && grouped(low, most) == grouped(high, most) {
            most += 1;
        }
    }
    fewest_decimals(numbers, most)
}

/// Decimals that leave `digits` significant digits, at most 6.
fn significant(x: f64, digits: i32) -> usize {
    if x == 0.0 || !x.is_finite() {
        return 0;
    }
    let exponent = x.abs().log10().floor() as i32;
    (digits - 1 - exponent).clamp(0, 6) as usize
}

/// The fewest decimals, at most `most`, that lose nothing against `most`.
fn fewest_decimals(numbers: &[f64], most: usize) -> usize {
    let same = |x: f64, decimals: usize| {
        let (a, b) = (format!("{x:.decimals$}"), format!("{x:.most$}"));
        a.parse::<f64>().ok() == b.parse::<f64>().ok()
    };
    (0..most).find(|d| numbers.iter().all(|x| same(*x, *d))).unwrap_or(most)
}

/// A number with `decimals` decimals and separators between thousands.
fn grouped(x: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", x.abs());
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, format!(".{fraction}")),
        None => (text.as_str(), String::new()),
    };
    let negative = x < 0.0 && text.chars().any(|c| c.is_ascii_digit() && c != '0');
    let whole = whole.parse::<u64>().map_or_else(|_| whole.to_string(), count);
    format!("{}{whole}{fraction}", if negative { "\u{2212}" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(value: f64, interval: Interval, unit: &Unit) -> (String, String) {
        let (quantity, interval) = shown(value, Some(interval), unit);
        (
            quantity.text().replace('\u{a0}', " "),
            interval.unwrap_or_default().replace('\u{a0}', " "),
        )
    }

    /// Times move to the unit that fits them, and keep three digits.
    #[test]
    fn times_fit_their_unit() {
        let ms = Unit::Time(1e-3);
        assert_eq!(quantity(4.137, &ms).text(), "4.14\u{a0}ms");
        assert_eq!(quantity(0.0423, &ms).text(), "42.3\u{a0}µs");
        assert_eq!(quantity(1620.0, &Unit::Time(1.0)).text(), "27\u{a0}min");
        assert_eq!(headline(4.137, &ms).text(), "4.1\u{a0}ms");
        assert_eq!(headline(1234.0, &ms).text(), "1.2\u{a0}s");
        assert_eq!(duration(161.0), "2\u{a0}min 41\u{a0}s");
    }

    /// The two ends of a narrow interval never look the same.
    #[test]
    fn narrow_intervals_keep_their_width() {
        let (value, interval) = both(1620.0, (Some(1619.0), Some(1621.0)), &Unit::Time(1.0));
        assert_eq!((value.as_str(), interval.as_str()), ("27.00 min", "26.98 to 27.02 min"));
        let (value, interval) = both(9.0, (Some(8.9), Some(9.1)), &Unit::Time(1.0));
        assert_eq!((value.as_str(), interval.as_str()), ("9.0 s", "8.9 to 9.1 s"));
    }

    /// Open ends are said in words.
    #[test]
    fn open_ends_are_words() {
        assert_eq!(both(100.0, (Some(100.0), None), &Unit::Count).1, "at least 100");
        assert_eq!(
            both(0.0, (None, Some(0.03)), &Unit::Percent),
            ("0 %".into(), "at most 3 %".into())
        );
        assert_eq!(both(1.0, (None, None), &Unit::Mib).1, "open at both ends");
    }

    /// Nothing that a finding can hold panics or prints `NaN`.
    #[test]
    fn odd_numbers_have_a_form() {
        for x in [f64::NAN, f64::INFINITY, -0.0, -1e-9, 1e300, f64::MIN_POSITIVE] {
            for unit in [Unit::Time(1.0), Unit::Mib, Unit::Percent, Unit::Count] {
                let (q, interval) = shown(x, Some((Some(x), Some(f64::NAN))), &unit);
                assert!(!q.text().contains("NaN") && !interval.unwrap_or_default().contains("NaN"));
                assert!(!headline(x, &unit).text().contains("NaN"));
            }
        }
    }

    /// Thousands are separated, and minus zero is zero.
    #[test]
    fn digits_are_grouped() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(grouped(-0.0001, 2), "0.00");
        assert_eq!(quantity(-3328.0, &Unit::Mib).text(), "\u{2212}3,328\u{a0}MiB");
    }
}
