//! Strays: a few times far from all others, at either end, that no cutoff is laid out for.
//!
//! Early ones are judged within each SELECT of times, since a small table may well be older than the
//! large ones; late ones among all times, since a table that runs ahead says nothing of the end.

use super::expression::time_sql;

/// Times that lie this far (five years, in microseconds) beyond all others, and farther beyond them
/// than the middle nine tenths span, are strays if they are a twentieth of all at most.
pub(super) const STRAY_GAP: i64 = 5 * 365 * 86_400_000_000;

/// How wide bins of times are: a year, in microseconds. A bin around 1970 has two, still too few to
/// hide a gap.
const BIN: i64 = STRAY_GAP / 5;

/// The strays among the times that cutoffs are laid out between: the first and the last at each end,
/// microseconds, UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Strays {
    /// Times long before all others.
    pub early: Option<(i64, i64)>,
    /// Times long after all others.
    pub late: Option<(i64, i64)>,
}

/// The first and last time without strays, and the strays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) strays: Strays,
}

/// Times of one SELECT that lie near one another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bin {
    /// Which SELECT gives them.
    pub(super) part: i64,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) count: i64,
}

impl Bin {
    /// The same with time running backwards.
    fn mirrored(self) -> Self {
        Self { first: self.last.saturating_neg(), last: self.first.saturating_neg(), ..self }
    }
}

/// The bins of the times that these SELECTs give up to `until`: part, first, last and count of each.
pub(super) fn bins_sql(times: &[String], until: Option<i64>) -> String {
    let parts = times.iter().enumerate().map(|(part, sql)| {
        format!("SELECT CAST({part} AS BIGINT) AS \"part\", r.\"time\" FROM ({sql}) AS r")
    });
    let parts = parts.collect::<Vec<_>>().join(" UNION ALL ");
    let until = until.map(|until| format!(" AND r.\"time\" <= {}", time_sql(until)));
    format!(
        "SELECT r.\"part\", MIN(r.\"time\") AS \"first\", MAX(r.\"time\") AS \"last\", COUNT(*) AS \"count\" FROM ({parts}) AS r WHERE r.\"time\" IS NOT NULL{} GROUP BY r.\"part\", arrow_cast(arrow_cast(r.\"time\", 'Timestamp(Microsecond, None)'), 'Int64') / {BIN}",
        until.unwrap_or_default()
    )
}

/// Sets strays aside; none where there are no times.
pub(super) fn without_strays(bins: &[Bin]) -> Option<Found> {
    let last = end_without_strays(bins.to_vec());
    let mut parts: Vec<i64> = bins.iter().map(|bin| bin.part).collect();
    parts.sort_unstable();
    parts.dedup();
    let begin = |part: &i64| {
        let bins = bins.iter().filter(|bin| bin.part == *part).copied();
        end_without_strays(bins.map(Bin::mirrored).collect()).saturating_neg()
    };
    let first = parts.iter().map(begin).min()?;
    let range = |bins: Vec<&Bin>| {
        Some((bins.iter().map(|bin| bin.first).min()?, bins.iter().map(|bin| bin.last).max()?))
    };
    let strays = Strays {
        early: range(bins.iter().filter(|bin| bin.last < first).collect()),
        late: range(bins.iter().filter(|bin| bin.first > last).collect()),
    };
    Some(Found { first, last, strays })
}

/// The last time before a gap that is longer than [`STRAY_GAP`] and than the span of the middle nine
/// tenths, and after which a twentieth of the times at most comes; the last of all without one.
fn end_without_strays(mut bins: Vec<Bin>) -> i64 {
    bins.sort_unstable_by_key(|bin| bin.first);
    let all: i64 = bins.iter().map(|bin| bin.count).sum();
    let are_few = |count: i64| count.saturating_mul(20) <= all;
    let (mut seen, mut reached) = (0, i64::MIN);
    let (mut begin, mut span): (Option<i64>, Option<i64>) = (None, None);
    for bin in &bins {
        if are_few(all - seen) {
            let begin = begin.unwrap_or(reached);
            let span = *span.get_or_insert(reached.saturating_sub(begin));
            if bin.first.saturating_sub(reached) > STRAY_GAP.max(span) {
                return reached;
            }
        }
        seen += bin.count;
        reached = reached.max(bin.last);
        if begin.is_none() && !are_few(seen) {
            begin = Some(bin.first);
        }
    }
    reached
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Bins of one part by year and count; a bin is its year's first half.
    fn bins(part: i64, years: &[(i64, i64)]) -> Vec<Bin> {
        let bin = |(year, count): &(i64, i64)| {
            let first = (year - 1970) * BIN;
            Bin { part, first, last: first + BIN / 2, count: *count }
        };
        years.iter().map(bin).collect()
    }

    /// The years without strays, and those of the strays.
    #[allow(clippy::type_complexity)]
    fn years(bins: &[Bin]) -> ((i64, i64), Option<(i64, i64)>, Option<(i64, i64)>) {
        let year = |time: i64| 1970 + time.div_euclid(BIN);
        let range = |(first, last)| (year(first), year(last));
        let Found { first, last, strays } = without_strays(bins).unwrap();
        (range((first, last)), strays.early.map(range), strays.late.map(range))
    }

    #[test]
    fn a_few_times_far_from_all_others_are_set_aside_at_either_end() {
        let kept = (2022, 2024);
        let core = [(2022, 500), (2023, 500), (2024, 500)];
        let with = |strays: &[(i64, i64)]| years(&bins(0, &[strays, core.as_slice()].concat()));
        assert_eq!(with(&[]), (kept, None, None));
        for year in [1, 1900, 1970, 2016] {
            assert_eq!(with(&[(year, 1)]), (kept, Some((year, year)), None));
        }
        for year in [2030, 2100, 9999] {
            assert_eq!(with(&[(year, 1)]), (kept, None, Some((year, year))));
            // Early ones do not hide late ones, nor the other way round.
            let both = with(&[(1900, 1), (year, 1)]);
            assert_eq!(both, (kept, Some((1900, 1900)), Some((year, year))));
        }
        let many = with(&[(1, 1), (1970, 1), (2012, 1), (2034, 1), (9999, 1)]);
        assert_eq!(many, (kept, Some((1, 2012)), Some((2034, 9999))));
    }

    #[test]
    fn what_is_near_or_not_few_or_after_a_gap_shorter_than_the_data_is_no_stray() {
        for years_of in [
            [(2018, 1), (2022, 900), (2023, 900)],
            [(2022, 900), (2023, 900), (2027, 1)],
            [(1970, 100), (2022, 900), (2023, 900)],
            [(2022, 900), (2023, 900), (2100, 100)],
            [(1950, 1), (1960, 900), (2000, 900)],
        ] {
            let (kept, early, late) = years(&bins(0, &years_of));
            assert_eq!((early, late), (None, None));
            assert_eq!(kept, (years_of[0].0, years_of[2].0));
        }
        assert_eq!(without_strays(&[]), None);
    }

    #[test]
    fn a_small_table_may_be_older_than_the_others_but_not_run_ahead_of_them() {
        let large = bins(0, &[(2022, 900), (2023, 900)]);
        let old = [large.clone(), bins(1, &[(1990, 10), (1995, 10)])].concat();
        assert_eq!(years(&old), ((1990, 2023), None, None));
        let ahead = [large.clone(), bins(1, &[(2090, 10), (2095, 10)])].concat();
        assert_eq!(years(&ahead), ((2022, 2023), None, Some((2090, 2095))));
        let stray = [large, bins(1, &[(1, 1), (1990, 10), (1995, 10)])].concat();
        assert_eq!(years(&stray), ((1990, 2023), Some((1, 1)), None));
    }
}
