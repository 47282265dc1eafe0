//! The platform's own report of an invocation: the REPORT line of the log tail.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a REPORT line says; 0 where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PlatformReport {
    pub(crate) duration_ms: f64,
    pub(crate) billed_ms: f64,
    pub(crate) init_duration_ms: f64,
    pub(crate) max_memory_mib: u32,
}

impl PlatformReport {
    /// From the value of the header `x-amz-log-result`: base64 of the log's end. None where it holds no report.
    ///
    /// The function may have written lines that look like a report: the platform's own is the last.
    pub(crate) fn from_log_result(value: &str) -> Option<Self> {
        let log = STANDARD.decode(value.trim()).ok()?;
        let log = String::from_utf8_lossy(&log);
        log.lines().rev().find(|line| line.starts_with("REPORT ")).map(Self::from_line)
    }

    fn from_line(line: &str) -> Self {
        let mut report = Self::default();
        for field in line.split('\t') {
            let Some((name, value)) = field.split_once(": ") else { continue };
            let number = value.split(' ').next().and_then(|number| number.parse::<f64>().ok());
            let Some(number) = number.filter(|number| number.is_finite()) else { continue };
            match name {
                "Duration" => report.duration_ms = number,
                "Billed Duration" => report.billed_ms = number,
                "Init Duration" => report.init_duration_ms = number,
                "Max Memory Used" => report.max_memory_mib = number as u32,
                _ => {}
            }
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "START RequestId: 1 Version: $LATEST\nREPORT nonsense\tDuration: 9 ms\n\
        END RequestId: 1\nREPORT RequestId: 1\tDuration: 12.34 ms\tBilled Duration: 13 ms\t\
        Memory Size: 128 MB\tMax Memory Used: 35 MB\tInit Duration: 101.5 ms\t\n";

    // Each number of the platform's line is found, and a function's own line does not pass for it.
    #[test]
    fn the_last_report_counts() {
        let report = PlatformReport::from_log_result(&STANDARD.encode(LOG)).expect("a report");
        let expected = PlatformReport {
            duration_ms: 12.34,
            billed_ms: 13.0,
            init_duration_ms: 101.5,
            max_memory_mib: 35,
        };
        assert_eq!(report, expected);
    }

    // Without a report, or with damaged bytes, there is none; a warm start has no init duration.
    #[test]
    fn no_report_is_none() {
        assert_eq!(PlatformReport::from_log_result("%%%"), None);
        assert_eq!(PlatformReport::from_log_result(&STANDARD.encode("hello\n")), None);
        let warm =
            STANDARD.encode("REPORT RequestId: 1\tDuration: nan ms\tBilled Duration: 2 ms\t");
        let report = PlatformReport::from_log_result(&warm).expect("a report");
        assert_eq!(
            (report.billed_ms, report.duration_ms, report.init_duration_ms),
            (2.0, 0.0, 0.0)
        );
    }
}
