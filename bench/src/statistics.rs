//! Samples of one quantity: median and spread.

/// The measurements of one quantity on one system, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(pub Vec<f64>);

impl Samples {
    /// The median; the mean of the two middle samples of an even number. `None` without samples.
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => None,
            n if n % 2 == 0 => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
            _ => Some(sorted[middle]),
        }
    }

    /// Largest minus smallest, as a part of the median.
    pub fn spread(&self) -> Option<f64> {
        let median = self.median().filter(|median| *median > 0.0)?;
        let most = self.0.iter().copied().fold(f64::MIN, f64::max);
        let least = self.0.iter().copied().fold(f64::MAX, f64::min);
        Some((most - least) / median)
    }
}

/// How many times `base` this is, computed for each round's pair: a busy machine affects both samples of a round.
pub fn ratio(these: &Samples, base: &Samples) -> Option<f64> {
    let pairs = these.0.iter().zip(&base.0).filter(|(_, base)| **base > 0.0);
    Samples(pairs.map(|(this, base)| this / base).collect()).median()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_an_outlier() {
        assert_eq!(Samples(vec![3.0, 1000.0, 1.0]).median(), Some(3.0));
        assert_eq!(Samples(vec![4.0, 2.0]).median(), Some(3.0));
        assert_eq!(Samples::default().median(), None);
    }

    #[test]
    fn spread_is_relative() {
        assert_eq!(Samples(vec![9.0, 10.0, 11.0]).spread(), Some(0.2));
        assert_eq!(Samples(vec![0.0]).spread(), None);
    }

    #[test]
    fn a_ratio_pairs_rounds() {
        let slow_second_round = (Samples(vec![20.0, 2.0, 20.0]), Samples(vec![10.0, 1.0, 10.0]));
        assert_eq!(ratio(&slow_second_round.0, &slow_second_round.1), Some(2.0));
        assert_eq!(ratio(&Samples(vec![1.0]), &Samples::default()), None);
    }
}
