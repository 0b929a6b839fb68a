use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::SystemTime,
};

use http::Method;

use crate::{
    compare::FieldDifference,
    counts::Ending,
    field_name::{pattern, truncate},
    noise::FieldCounts,
};

/// One difference between an answer of the canary and stable's, to look at.
///
/// Texts of more than 200 bytes are cut. The path is without its query, since queries carry secrets; values
/// may do so as well: see [`MirrorOptions::redact`](crate::MirrorOptions::redact).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// When the answers were compared.
    pub at: SystemTime,
    /// The request's method.
    pub method: Method,
    /// The request's path, without a query.
    pub path: String,
    /// The field that differs, with its positions: `body/items/3/price`.
    pub field: String,
    /// Its value in stable's answer.
    pub stable: String,
    /// Its value in the canary's answer.
    pub canary: String,
}

impl Difference {
    pub(crate) fn new(method: &Method, path: &str, found: &FieldDifference) -> Self {
        let FieldDifference { field, stable, canary } = found.clone();
        let (method, path) = (method.clone(), path.to_owned());
        Self { at: SystemTime::now(), method, path, field, stable, canary }
    }

    /// Cuts what is long, by whomever it was made so.
    pub(crate) fn truncated(self) -> Self {
        Self {
            at: self.at,
            method: short(&self.method),
            path: truncate(self.path),
            field: truncate(self.field),
            stable: truncate(self.stable),
            canary: truncate(self.canary),
        }
    }
}

/// What was found in each field.
///
/// Fields are bounded in number, since clients can make new ones (a map by user id). What is found in a field
/// beyond the bound counts, without being told apart.
#[derive(Default)]
pub(crate) struct Fields {
    known: BTreeMap<String, Field>,
    compared: u64,
    noise_compared: u64,
    /// Calls with differences in fields for which there was no room.
    beyond: u64,
}

#[derive(Default)]
struct Field {
    differed: u64,
    noise_differed: u64,
    /// The latest differences, the oldest first.
    sample: VecDeque<Difference>,
}

/// A difference as a comparison found it, and as it is kept.
pub(crate) struct Found {
    pub(crate) field: String,
    /// None if it is not to be kept.
    pub(crate) sample: Option<Difference>,
}

impl Fields {
    /// Counts the differences of one call, and says what they amount to. `noise` has the fields in which two
    /// answers of stable differed, if stable was asked a second time.
    pub(crate) fn record(
        &mut self,
        found: Vec<Found>,
        noise: Option<&[FieldDifference]>,
    ) -> Ending {
        self.compared += 1;
        let noise: Option<BTreeSet<String>> =
            noise.map(|noise| noise.iter().map(|found| pattern(&found.field)).collect());
        if let Some(noise) = &noise {
            self.noise_compared += 1;
            for name in noise {
                if let Some(field) = self.field(name) {
                    field.noise_differed += 1;
                }
            }
        }
        let mut patterns = BTreeSet::new();
        let mut beyond = false;
        for Found { field, sample } in found {
            let name = pattern(&field);
            let Some(field) = self.field(&name) else {
                beyond = true;
                continue;
            };
            if patterns.insert(name) {
                field.differed += 1;
            }
            if let Some(sample) = sample {
                if field.sample.len() == SAMPLES_PER_FIELD {
                    field.sample.pop_front();
                }
                field.sample.push_back(sample);
            }
        }
        self.beyond += u64::from(beyond);
        let is_noise = |name: &String| {
            noise.as_ref().is_some_and(|noise| noise.contains(name))
                || self.counts_of(name).is_some_and(|counts| counts.is_noise())
        };
        match () {
            () if patterns.is_empty() && !beyond => Ending::Matched,
            () if !beyond && patterns.iter().all(is_noise) => Ending::MatchedButNoise,
            () => Ending::Mismatched,
        }
    }

    pub(crate) fn counts(&self) -> Vec<FieldCounts> {
        self.known.iter().map(|(name, field)| self.counts_in(name, field)).collect()
    }

    pub(crate) const fn beyond(&self) -> u64 {
        self.beyond
    }

    /// The sample, the latest first.
    pub(crate) fn sample(&self) -> Vec<Difference> {
        let mut sample: Vec<_> =
            self.known.values().flat_map(|field| field.sample.iter().cloned()).collect();
        sample.sort_by_key(|difference| std::cmp::Reverse(difference.at));
        sample
    }

    fn counts_of(&self, name: &str) -> Option<FieldCounts> {
        self.known.get(name).map(|field| self.counts_in(name, field))
    }

    fn counts_in(&self, name: &str, field: &Field) -> FieldCounts {
        FieldCounts {
            field: name.to_owned(),
            differed: field.differed,
            compared: self.compared,
            noise_differed: field.noise_differed,
            noise_compared: self.noise_compared,
        }
    }

    fn field(&mut self, name: &str) -> Option<&mut Field> {
        if !self.known.contains_key(name) && self.known.len() == MAX_FIELDS {
            return None;
        }
        Some(self.known.entry(name.to_owned()).or_default())
    }
}

/// A method that a client made up can be long.
fn short(method: &Method) -> Method {
    let name = method.as_str();
    let cut = name.get(..name.len().min(32)).unwrap_or_default();
    Method::from_bytes(cut.as_bytes()).unwrap_or_default()
}

/// With three differences of some 800 bytes each, a mirror keeps about 600 kB at most.
const MAX_FIELDS: usize = 256;
const SAMPLES_PER_FIELD: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(fields: &[&str]) -> Vec<Found> {
        let difference = |field: &str| {
            let found = FieldDifference::new(field, "s".repeat(1000), "c".repeat(1000));
            let path = format!("/{}", "p".repeat(1000));
            Found {
                field: field.to_owned(),
                sample: Some(Difference::new(&Method::GET, &path, &found).truncated()),
            }
        };
        fields.iter().map(|field| difference(field)).collect()
    }

    fn noise(fields: &[&str]) -> Vec<FieldDifference> {
        fields.iter().map(|field| FieldDifference::new(*field, "1", "2")).collect()
    }

    #[test]
    fn a_field_that_differs_in_stable_too_does_not_count() {
        let mut fields = Fields::default();
        assert_eq!(fields.record(found(&["body/at"]), None), Ending::Mismatched);
        assert_eq!(
            fields.record(found(&["body/at"]), Some(&noise(&["body/at"]))),
            Ending::MatchedButNoise
        );
        assert_eq!(fields.record(found(&["body/at"]), None), Ending::MatchedButNoise);
        assert_eq!(fields.record(found(&["body/at", "body/total"]), None), Ending::Mismatched);
        assert_eq!(fields.record(found(&[]), None), Ending::Matched);
    }

    #[test]
    fn rare_noise_does_not_hide_a_field_that_always_differs() {
        let mut fields = Fields::default();
        for call in 0..100 {
            let noise = if call == 0 { noise(&["body/stock"]) } else { Vec::new() };
            fields.record(found(&["body/stock"]), Some(&noise));
        }
        assert_eq!(fields.record(found(&["body/stock"]), None), Ending::Mismatched);
    }

    #[test]
    fn what_clients_send_takes_bounded_memory_and_still_counts() {
        let mut fields = Fields::default();
        for call in 0..10 * MAX_FIELDS {
            let field = format!("body/user-{call}-{}", "x".repeat(1000));
            assert_eq!(fields.record(found(&[&field]), None), Ending::Mismatched);
            assert_eq!(fields.record(found(&["body/items/7"]), None), Ending::Mismatched);
        }
        assert_eq!(fields.counts().len(), MAX_FIELDS);
        assert_eq!(fields.beyond(), 9 * MAX_FIELDS as u64 + 1);
        let sample = fields.sample();
        assert!(sample.len() <= MAX_FIELDS * SAMPLES_PER_FIELD, "{}", sample.len());
        let bytes = |d: &Difference| d.path.len() + d.field.len() + d.stable.len() + d.canary.len();
        assert!(sample.iter().all(|difference| bytes(difference) <= 4 * 203));
    }

    #[test]
    fn the_positions_of_a_list_are_counted_once_in_a_call() {
        let mut fields = Fields::default();
        fields.record(found(&["body/items/1", "body/items/2"]), None);
        let counts = fields.counts();
        assert_eq!(counts.len(), 1);
        assert_eq!((counts[0].field.as_str(), counts[0].differed), ("body/items/*", 1));
    }
}
