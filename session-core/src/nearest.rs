//! Guesses the word behind a typo.

/// The known word closest to `word`, if one is close enough.
#[must_use]
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known.iter().map(|known| (distance(word, known), *known));
    let (distance, known) = distances.min_by_key(|(distance, _)| *distance)?;
    // Up to a third of the letters may be wrong; beyond that it is another word.
    (distance <= known.len().max(3) / 3).then_some(known)
}

/// How many letters to insert, remove, replace or swap with a neighbour (the optimal string alignment
/// distance).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        rows[i][0] = i;
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let one_off = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            let is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            rows[i][j] = if is_swap {
                one_off.min(rows[i - 2][j - 2] + 1)
            } else {
                one_off
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["idle", "absolute", "same_site", "skip", "alias"];

    #[test]
    fn finds_what_was_meant() {
        assert_eq!(nearest("idel", KNOWN), Some("idle"));
        assert_eq!(nearest("idle_", KNOWN), Some("idle"));
        assert_eq!(nearest("samesite", KNOWN), Some("same_site"));
        assert_eq!(nearest("absolut", KNOWN), Some("absolute"));
        assert_eq!(nearest("aliases", KNOWN), None);
    }

    #[test]
    fn does_not_guess_wildly() {
        assert_eq!(nearest("colour", KNOWN), None);
        assert_eq!(nearest("", KNOWN), None);
        assert_eq!(nearest("idle", &[]), None);
    }

    #[test]
    fn counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("abc", "acb"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
