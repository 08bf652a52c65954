//! Charts: where the time of a build went, how functions grew, how a cell did over many runs.
//! Coordinates only; `cell.html` draws them.

use super::budget::Budget;
use crate::model::record::{Growth, StageTime};
use crate::model::stored::CellRun;
use crate::report::text::duration;

/// Points of a trend that are drawn.
const POINTS: usize = 200;
/// Width and height of the line of a trend.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 40.0;

/// The stages of a build, one below the other: a bar from its begin to its end for each.
#[derive(Debug, PartialEq, Eq)]
pub struct Stages<'a> {
    /// Names and times.
    pub rows: Vec<(&'a str, String)>,
    /// All bars, as SVG draws a path: 1000 wide, 10 high each. One element for all of them keeps
    /// the page small.
    pub path: String,
    pub height: usize,
}

/// The chart of the stages, if there are any.
#[must_use]
pub fn stages(stages: &[StageTime]) -> Option<Stages<'_>> {
    let ends = stages
        .iter()
        .map(|stage| stage.begins_seconds + stage.seconds);
    let end = ends.fold(0.0, f64::max);
    let bars = stages.iter().enumerate().map(|(at, stage)| {
        let from = share(stage.begins_seconds, end) * 1000.0;
        // The shortest stage can be seen too.
        let width = (share(stage.seconds, end) * 1000.0).max(3.0);
        format!("M{from:.0} {}h{width:.0}v6h-{width:.0}z", at * 10 + 2)
    });
    let rows = stages
        .iter()
        .map(|stage| (stage.name.as_str(), duration(stage.seconds)));
    (!stages.is_empty()).then(|| Stages {
        rows: rows.collect(),
        path: bars.collect(),
        height: stages.len() * 10,
    })
}

/// A part of a whole, between 0 and 1 whatever the numbers are.
fn share(part: f64, whole: f64) -> f64 {
    let share = part / whole;
    if share.is_finite() {
        share.clamp(0.0, 1.0)
    } else {
        0.0
    }
}

/// A function that has another size in the other mode.
#[derive(Debug, PartialEq, Eq)]
pub struct Grown<'a> {
    pub function: &'a str,
    pub bytes: u64,
    pub bytes_there: u64,
    /// `+128`, `-12`.
    pub difference: String,
    /// A bar from the middle, at 100: to the right if it is larger here.
    pub from: String,
    pub width: String,
}

/// The functions whose sizes differ most, `most` of them.
#[must_use]
pub fn growth<'a>(growth: &'a [Growth], most: usize, budget: &mut Budget) -> Vec<Grown<'a>> {
    let difference = |g: &Growth| i128::from(g.bytes) - i128::from(g.bytes_there);
    let largest = growth.iter().map(|g| difference(g).unsigned_abs()).max();
    let largest = largest.unwrap_or_default();
    let shown = budget.take(growth.len().min(most));
    let rows = growth.iter().take(shown).map(|grown| {
        let by = difference(grown);
        let width = (by.unsigned_abs() * 100)
            .checked_div(largest)
            .unwrap_or_default();
        Grown {
            function: &grown.function,
            bytes: grown.bytes,
            bytes_there: grown.bytes_there,
            difference: format!("{by:+}"),
            from: (if by < 0 { 100 - width } else { 100 }).to_string(),
            width: width.to_string(),
        }
    });
    rows.collect()
}

/// How a cell did in earlier runs.
#[derive(Debug)]
pub struct History<'a> {
    pub lines: Vec<Spark>,
    /// The newest first.
    pub rows: Vec<Past<'a>>,
    /// How many runs there are.
    pub runs: usize,
}

/// A row of the table of runs.
#[derive(Debug)]
pub struct Past<'a> {
    pub point: &'a CellRun,
    pub time: String,
    pub size: String,
}

/// One figure over the runs.
#[derive(Debug, PartialEq, Eq)]
pub struct Spark {
    pub title: &'static str,
    /// `46.2 s, between 40.1 s and 52.0 s in 12 runs; +3.1 % since the run before`.
    pub says: String,
    /// Points of a line, 300 wide and 40 high.
    pub points: String,
    /// The last point, and those where the cell did not pass: paths of dots.
    pub last: String,
    pub failed: String,
}

/// The history of a cell, if it has any; at most that many runs are in its table.
#[must_use]
pub fn history<'a>(trend: &'a [CellRun], most: usize, budget: &mut Budget) -> Option<History<'a>> {
    let skip = trend.len().saturating_sub(POINTS);
    let points = &trend[skip..];
    #[expect(clippy::cast_precision_loss, reason = "a chart is less precise")]
    let size = |point: &CellRun| point.image_bytes as f64;
    let lines = [
        spark("Wall time", points, |p| p.seconds, duration),
        spark("Loaded image", points, size, bytes),
    ];
    let shown = budget.take(points.len().min(most));
    let rows = points.iter().rev().take(shown).map(|point| Past {
        point,
        time: duration(point.seconds),
        size: match point.image_bytes {
            0 => "-".to_owned(),
            _ => bytes(size(point)),
        },
    });
    let lines: Vec<Spark> = lines.into_iter().flatten().collect();
    (!lines.is_empty()).then(|| History {
        lines,
        rows: rows.collect(),
        runs: trend.len(),
    })
}

/// A line through at least two points; what is 0 was not measured.
fn spark(
    title: &'static str,
    points: &[CellRun],
    figure: impl Fn(&CellRun) -> f64,
    unit: fn(f64) -> String,
) -> Option<Spark> {
    let measured = points.iter().map(|point| (point, figure(point)));
    let measured: Vec<_> = measured
        .filter(|(_, n)| n.is_finite() && *n > 0.0)
        .collect();
    let [.., (_, before), (_, last)] = measured[..] else {
        return None;
    };
    let figures = measured.iter().map(|(_, n)| *n);
    let (least, most) = (
        figures.clone().fold(f64::MAX, f64::min),
        figures.fold(0.0, f64::max),
    );
    #[expect(clippy::cast_precision_loss, reason = "a few hundred points")]
    let place = |at: usize, figure: f64| {
        let x = share(at as f64, (measured.len() - 1) as f64) * (WIDTH - 10.0) + 5.0;
        let y = match most > least {
            true => (1.0 - share(figure - least, most - least)) * (HEIGHT - 10.0) + 5.0,
            false => HEIGHT / 2.0,
        };
        [format!("{x:.1}"), format!("{y:.1}")]
    };
    let all = measured.iter().enumerate();
    let placed: Vec<_> = all
        .map(|(at, (point, n))| (place(at, *n), *point))
        .collect();
    let line: Vec<String> = placed.iter().map(|(place, _)| place.join(",")).collect();
    let dot = |place: &[String; 2]| format!("M{}h0", place.join(" "));
    let bad = placed.iter().filter(|(_, point)| point.outcome != "pass");
    Some(Spark {
        title,
        says: format!(
            "{}, between {} and {} in {} runs; {:+.1} % since the run before",
            unit(last),
            unit(least),
            unit(most),
            measured.len(),
            (last / before - 1.0) * 100.0
        ),
        points: line.join(" "),
        failed: bad.map(|(place, _)| dot(place)).collect(),
        last: dot(&placed.last()?.0),
    })
}

/// Bytes as people read them.
#[must_use]
pub fn bytes(number: f64) -> String {
    const KIB: f64 = 1024.0;
    if number < KIB {
        return format!("{number:.0} B");
    }
    let kib = number / KIB;
    if kib < KIB {
        return format!("{kib:.1} KiB");
    }
    let mib = kib / KIB;
    if mib < KIB {
        return format!("{mib:.2} MiB");
    }
    format!("{:.2} GiB", mib / KIB)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stored::RunAt;
    use rstest::rstest;

    fn stage(name: &str, begins_seconds: f64, seconds: f64) -> StageTime {
        StageTime {
            name: name.to_owned(),
            begins_seconds,
            seconds,
        }
    }

    fn point(seconds: f64, image_bytes: u64, outcome: &str) -> CellRun {
        CellRun {
            at: RunAt {
                run: "run".to_owned(),
                recorded: "2026-11-25T02:00:00Z".to_owned(),
                revision: "7.2.13".to_owned(),
            },
            seconds,
            image_bytes,
            outcome: outcome.to_owned(),
        }
    }

    #[test]
    fn a_stage_is_a_bar_from_its_begin_to_its_end() {
        let shown = [
            stage("compile", 0.0, 60.0),
            stage("link", 60.0, 20.0),
            stage("none", 80.0, 0.0),
        ];
        let chart = stages(&shown).unwrap();
        assert_eq!(chart.rows[0], ("compile", "1 min 00 s".to_owned()));
        assert_eq!(
            chart.path,
            "M0 2h750v6h-750zM750 12h250v6h-250zM1000 22h3v6h-3z"
        );
        assert_eq!(chart.height, 30);
        assert_eq!(stages(&[]), None);
    }

    #[rstest]
    #[case(f64::NAN, 1.0)]
    #[case(1.0, 0.0)]
    #[case(f64::INFINITY, f64::INFINITY)]
    #[case(-1.0, 5.0)]
    fn a_number_that_is_none_is_at_the_begin(#[case] part: f64, #[case] whole: f64) {
        assert!(share(part, whole).abs() < f64::EPSILON || share(part, whole) >= 1.0);
    }

    #[test]
    fn a_function_that_shrinks_has_a_bar_to_the_left() {
        let grown = |function: &str, bytes, bytes_there| Growth {
            function: function.to_owned(),
            bytes,
            bytes_there,
        };
        let all = [grown("a", 300, 100), grown("b", 0, 100), grown("c", 5, 5)];
        let rows = growth(&all, 20, &mut Budget::new(100));
        let drawn: Vec<_> = rows
            .iter()
            .map(|row| (&*row.difference, &*row.from, &*row.width))
            .collect();
        assert_eq!(
            drawn,
            [
                ("+200", "100", "100"),
                ("-100", "50", "50"),
                ("+0", "100", "0")
            ]
        );
    }

    #[test]
    fn a_trend_shows_the_last_figure_and_where_the_cell_failed() {
        let trend = [
            point(40.0, 0, "pass"),
            point(60.0, 2_097_152, "fail"),
            point(50.0, 1_048_576, "pass"),
        ];
        let history = history(&trend, 12, &mut Budget::new(100)).unwrap();
        let [time, size] = &history.lines[..] else {
            panic!("{history:?}")
        };
        assert_eq!(
            time.says,
            "50.0 s, between 40.0 s and 1 min 00 s in 3 runs; -16.7 % since the run before"
        );
        assert_eq!(time.points, "5.0,35.0 150.0,5.0 295.0,20.0");
        assert_eq!(
            (&*time.failed, &*time.last),
            ("M150.0 5.0h0", "M295.0 20.0h0")
        );
        assert_eq!(size.points, "5.0,5.0 295.0,35.0");
        assert_eq!(history.rows[2].size, "-");
    }

    #[test]
    fn one_run_is_no_trend() {
        let trend = [point(40.0, 5, "pass")];
        assert!(history(&trend, 12, &mut Budget::new(100)).is_none());
    }

    #[rstest]
    #[case(12.0, "12 B")]
    #[case(1536.0, "1.5 KiB")]
    #[case(2_097_152.0, "2.00 MiB")]
    #[case(3_221_225_472.0, "3.00 GiB")]
    fn sizes_are_read_at_a_glance(#[case] number: f64, #[case] expected: &str) {
        assert_eq!(bytes(number), expected);
    }
}
