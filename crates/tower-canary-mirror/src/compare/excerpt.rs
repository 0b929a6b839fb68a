use crate::findings::field_name::truncate;

/// Returns excerpts of two texts, starting shortly before their first difference.
pub(super) fn excerpts(stable: &[u8], canary: &[u8]) -> (String, String) {
    let shared = stable.iter().zip(canary).take_while(|(one, other)| one == other).count();
    let start = shared.saturating_sub(CONTEXT);
    let excerpt = |body: &[u8]| {
        let excerpt = &body[start..body.len().min(start + LENGTH)];
        let text = String::from_utf8_lossy(excerpt);
        let text: String =
            text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        truncate(format!("[{start}..{}] {text}", body.len()))
    };
    (excerpt(stable), excerpt(canary))
}

/// The number of bytes before the first difference.
const CONTEXT: usize = 16;
/// The number of bytes in an excerpt.
const LENGTH: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_shows_the_first_difference_of_long_bodies() {
        let (stable, canary) = ("a".repeat(5000) + "X", "a".repeat(5000) + "Y\u{7}");
        let (stable, canary) = excerpts(stable.as_bytes(), canary.as_bytes());
        assert_eq!(stable, "[4984..5001] aaaaaaaaaaaaaaaaX");
        assert_eq!(canary, "[4984..5002] aaaaaaaaaaaaaaaaY\u{fffd}");
    }
}
