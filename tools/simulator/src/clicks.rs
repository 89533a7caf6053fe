//! What somebody clicks of a list: he goes down from the top, takes what attracts him, and at each place may have had
//! enough, sooner when he found something (the cascade of Craswell et al. 2008 with the continuation of Chapelle and
//! Zhang 2009, where attraction and examination are apart).

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Probability of going on to the next place after nothing was taken there, and after something was.
const GOES_ON: f64 = 0.85;
const GOES_ON_SATISFIED: f64 = 0.6;

/// The positions that are clicked in a list with these attractions. Takes as many draws as the list is long, wherever
/// it ends: lists of different policies meet the same luck.
pub fn clicked(attractions: &[f64], rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut clicks = Vec::new();
    let mut examined = true;
    for (position, attraction) in attractions.iter().enumerate() {
        let (attracted, patience): (f64, f64) = (rng.random(), rng.random());
        let click = examined && attracted < *attraction;
        if click {
            clicks.push(position);
        }
        examined &= patience < if click { GOES_ON_SATISFIED } else { GOES_ON };
    }
    clicks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::{Purpose, stream};

    fn rates(attractions: &[f64], visits: usize) -> Vec<f64> {
        let mut rates = vec![0.0; attractions.len()];
        for visit in 0..visits {
            for position in clicked(attractions, &mut stream(3, Purpose::Visit, 0, visit)) {
                rates[position] += 1.0 / visits as f64;
            }
        }
        rates
    }

    #[test]
    fn equal_items_are_clicked_less_the_lower_they_stand_as_foretold() {
        let rates = rates(&[0.3; 10], 40_000);
        assert!(rates.windows(2).all(|pair| pair[0] > pair[1]), "{rates:?}");
        let on = 0.3 * GOES_ON_SATISFIED + 0.7 * GOES_ON;
        for (position, rate) in rates.iter().enumerate() {
            let foretold = 0.3 * on.powi(position as i32);
            assert!((rate - foretold).abs() < 0.012, "position {position}: {rate}, foretold {foretold}");
        }
    }

    #[test]
    fn attraction_decides_at_the_same_position() {
        assert!(rates(&[0.6], 5000)[0] > 2.0 * rates(&[0.2], 5000)[0]);
        assert_eq!(rates(&[0.0, 0.0], 100), [0.0, 0.0]);
        assert_eq!(rates(&[1.0], 100).len(), 1);
    }

    #[test]
    fn the_same_luck_gives_the_same_clicks() {
        let list = [0.1, 0.9, 0.5, 0.4];
        let once = || clicked(&list, &mut stream(3, Purpose::Visit, 2, 5));
        assert_eq!(once(), once());
    }
}
