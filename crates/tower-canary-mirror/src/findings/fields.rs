use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    compare::comparison::FieldDifference,
    findings::{
        counts::MirrorOutcome, difference::Difference, field_counts::FieldCounts,
        field_name::pattern,
    },
};

/// Counts differences and noise by field.
///
/// The number of fields is bounded, because clients can create new ones, such as the keys of a map
/// by user id. Differences in fields beyond the bound count together.
#[derive(Default)]
pub(crate) struct FieldTracker {
    fields: BTreeMap<String, TrackedField>,
    compared: u64,
    noise_compared: u64,
    /// Comparisons with a difference in a field beyond the bound.
    untracked: u64,
}

#[derive(Default)]
struct TrackedField {
    differed: u64,
    noise_differed: u64,
    /// The latest differences, oldest first.
    samples: VecDeque<Difference>,
}

/// A difference that a comparison found.
pub(crate) struct FoundDifference {
    pub(crate) field: String,
    /// The difference to keep, if any.
    pub(crate) sample: Option<Difference>,
}

impl FieldTracker {
    /// Counts the differences of one comparison and returns its outcome.
    ///
    /// `noise` holds the differences between two responses of stable, if stable responded twice.
    pub(crate) fn record(
        &mut self,
        found: Vec<FoundDifference>,
        noise: Option<&[FieldDifference]>,
    ) -> MirrorOutcome {
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
        let mut is_untracked = false;
        for FoundDifference { field, sample } in found {
            let name = pattern(&field);
            let Some(field) = self.field(&name) else {
                is_untracked = true;
                continue;
            };
            if patterns.insert(name) {
                field.differed += 1;
            }
            if let Some(sample) = sample {
                if field.samples.len() == SAMPLES_PER_FIELD {
                    field.samples.pop_front();
                }
                field.samples.push_back(sample);
            }
        }
        self.untracked += u64::from(is_untracked);
        let is_noise = |name: &String| {
            noise.as_ref().is_some_and(|noise| noise.contains(name))
                || self.fields.get(name).is_some_and(|field| self.counts_of(name, field).is_noise())
        };
        match () {
            () if is_untracked => MirrorOutcome::Mismatched,
            () if patterns.is_empty() => MirrorOutcome::Matched,
            () if patterns.iter().all(is_noise) => MirrorOutcome::MatchedWithNoise,
            () => MirrorOutcome::Mismatched,
        }
    }

    pub(crate) fn counts(&self) -> Vec<FieldCounts> {
        self.fields.iter().map(|(name, field)| self.counts_of(name, field)).collect()
    }

    pub(crate) const fn untracked(&self) -> u64 {
        self.untracked
    }

    /// Returns the kept differences, latest first.
    pub(crate) fn differences(&self) -> Vec<Difference> {
        let fields = self.fields.values();
        let mut samples: Vec<_> = fields.flat_map(|field| field.samples.iter().cloned()).collect();
        samples.sort_by_key(|difference| std::cmp::Reverse(difference.at));
        samples
    }

    fn counts_of(&self, name: &str, field: &TrackedField) -> FieldCounts {
        FieldCounts {
            field: name.to_owned(),
            differed: field.differed,
            compared: self.compared,
            noise_differed: field.noise_differed,
            noise_compared: self.noise_compared,
        }
    }

    fn field(&mut self, name: &str) -> Option<&mut TrackedField> {
        if !self.fields.contains_key(name) && self.fields.len() == MAX_FIELDS {
            return None;
        }
        Some(self.fields.entry(name.to_owned()).or_default())
    }
}

/// With three differences of up to 800 bytes each, a mirror keeps up to 600 kB.
const MAX_FIELDS: usize = 256;
const SAMPLES_PER_FIELD: usize = 3;

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn found(fields: &[&str]) -> Vec<FoundDifference> {
        let difference = |field: &str| {
            let found = FieldDifference::new(field, "s".repeat(1000), "c".repeat(1000));
            let path = format!("/{}", "p".repeat(1000));
            FoundDifference {
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
    fn a_field_that_also_differs_in_stable_does_not_count() {
        let mut fields = FieldTracker::default();
        assert_eq!(fields.record(found(&["body/at"]), None), MirrorOutcome::Mismatched);
        assert_eq!(
            fields.record(found(&["body/at"]), Some(&noise(&["body/at"]))),
            MirrorOutcome::MatchedWithNoise
        );
        assert_eq!(fields.record(found(&["body/at"]), None), MirrorOutcome::MatchedWithNoise);
        let two_fields = found(&["body/at", "body/total"]);
        assert_eq!(fields.record(two_fields, None), MirrorOutcome::Mismatched);
        assert_eq!(fields.record(found(&[]), None), MirrorOutcome::Matched);
    }

    #[test]
    fn rare_noise_does_not_hide_a_field_that_always_differs() {
        let mut fields = FieldTracker::default();
        for call in 0..100 {
            let noise = if call == 0 { noise(&["body/stock"]) } else { Vec::new() };
            fields.record(found(&["body/stock"]), Some(&noise));
        }
        assert_eq!(fields.record(found(&["body/stock"]), None), MirrorOutcome::Mismatched);
    }

    #[test]
    fn fields_created_by_clients_use_bounded_memory_and_still_count() {
        let mut fields = FieldTracker::default();
        for call in 0..10 * MAX_FIELDS {
            let field = format!("body/user-{call}-{}", "x".repeat(1000));
            assert_eq!(fields.record(found(&[&field]), None), MirrorOutcome::Mismatched);
            assert_eq!(fields.record(found(&["body/items/7"]), None), MirrorOutcome::Mismatched);
        }
        assert_eq!(fields.counts().len(), MAX_FIELDS);
        assert_eq!(fields.untracked(), 9 * MAX_FIELDS as u64 + 1);
        let samples = fields.differences();
        assert!(samples.len() <= MAX_FIELDS * SAMPLES_PER_FIELD, "{}", samples.len());
        let bytes = |d: &Difference| d.path.len() + d.field.len() + d.stable.len() + d.canary.len();
        assert!(samples.iter().all(|difference| bytes(difference) <= 4 * 203));
    }

    #[test]
    fn the_items_of_an_array_count_once_in_a_comparison() {
        let mut fields = FieldTracker::default();
        fields.record(found(&["body/items/1", "body/items/2"]), None);
        let counts = fields.counts();
        assert_eq!(counts.len(), 1);
        assert_eq!((counts[0].field.as_str(), counts[0].differed), ("body/items/*", 1));
    }
}
