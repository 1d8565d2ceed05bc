//! Summary statistics of the measured rounds.

/// Returns the median.
pub(crate) fn median(figures: &[f64]) -> f64 {
    quantile(figures, 0.5)
}

/// Returns the interval that holds the middle half of the figures.
pub(crate) fn spread(figures: &[f64]) -> (f64, f64) {
    (quantile(figures, 0.25), quantile(figures, 0.75))
}

/// Returns the quantile at `part`, from 0 to 1, interpolated between the two nearest figures.
fn quantile(figures: &[f64], part: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = part * (sorted.len().saturating_sub(1)) as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}
