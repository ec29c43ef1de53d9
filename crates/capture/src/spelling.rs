//! The name a person probably meant, where what they wrote is none.

/// The one of `known` that differs from `found` in a third of its letters at most.
pub fn nearest<T: AsRef<str>>(found: &str, known: impl IntoIterator<Item = T>) -> Option<T> {
    let found: Vec<char> = found.chars().take(MAX_LENGTH + 1).collect();
    if found.len() > MAX_LENGTH {
        return None;
    }
    known
        .into_iter()
        .map(|known| (distance(&found, &known.as_ref().chars().collect::<Vec<_>>()), known))
        .filter(|(distance, known)| {
            *distance <= (known.as_ref().chars().count().max(found.len()) / 3).max(1)
                && *distance < found.len()
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Letters to insert, delete, replace or swap with their neighbour (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let shortest = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    shortest.min(rows[i - 2][j - 2] + 1)
                } else {
                    shortest
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

/// Longer than every name: what is longer was not meant to be one.
const MAX_LENGTH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_understood_and_other_words_are_not() {
        let known = ["brightness", "contrast", "auto_exposure"];
        for (found, meant) in [
            ("brigthness", Some("brightness")),
            ("autoexposure", Some("auto_exposure")),
            ("saturation", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(found, known), meant, "{found}");
        }
        assert_eq!(nearest(&"brightness".repeat(100_000), known), None);
    }

    #[test]
    fn distances() {
        let distance = |a: &str, b: &str| {
            distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>())
        };
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "acb"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("größe", "grösse"), 2);
    }
}
