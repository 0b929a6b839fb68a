use std::{error, fmt, str};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use canary_core::{CanaryName, Channel, Weight};
use xxhash_rust::xxh64::xxh64;

use crate::{counting::counter_key::Scope, feedback::rated_call::RatedCall};

/// A short text that identifies a call, to rate it later in another request.
///
/// [`Assignment::receipt`](crate::Assignment::receipt) issues it, and
/// [`CanaryHandle::rate_receipt`](crate::CanaryHandle::rate_receipt) redeems it, at any replica. It
/// has 38 characters from `A-Z`, `a-z`, `0-9`, `-` and `_`, or 59 if it is signed. It fits into a
/// URL, a header, a cookie or a database column.
///
/// It contains hashes of the canary's name and salt, the channel, the weight, the time and a random
/// id, of which a part is from the hash of the caller's key, if it has one. Its holder can read
/// these. Only the signature proves that it is genuine: parsing checks the
/// format but not the signature.
///
/// ```
/// use tower_canary::feedback::Receipt;
///
/// let error = "a complaint".parse::<Receipt>().unwrap_err();
/// assert_eq!(error.to_string(), "invalid receipt: 11 bytes, expected 38, or 59 if signed");
/// ```
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Receipt {
    pub(super) canary: CanaryTag,
    pub(super) salt: SaltTag,
    pub(super) call: RatedCall,
    /// Seconds since 1970.
    pub(super) issued: u32,
    pub(super) id: u64,
    pub(super) signature: Option<Signature>,
}

/// A hash of the canary's name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct CanaryTag(u32);

/// A hash of the salt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct SaltTag(u64);

/// The first half of an HMAC-SHA256.
pub(super) type Signature = [u8; 16];

impl CanaryTag {
    pub(super) fn of(name: &CanaryName) -> Self {
        let [a, b, c, d, ..] = xxh64(name.as_str().as_bytes(), 0).to_be_bytes();
        Self(u32::from_be_bytes([a, b, c, d]))
    }
}

impl SaltTag {
    pub(super) fn of(salt: &str) -> Self {
        Self(xxh64(salt.as_bytes(), 0))
    }
}

impl Receipt {
    /// The length of a signed receipt, which is the longest kind, in bytes.
    pub const MAX_LENGTH: usize = SIGNED_TEXT;

    /// Returns the signed part of the receipt.
    ///
    /// ```text
    /// bytes  0      1..5    5..13  13..16  16..20  20..28
    ///        flags  canary  salt   weight  issued  id
    /// ```
    ///
    /// Numbers are big-endian. The upper four bits of the flags are the version of the format. If the
    /// call has a key, the first half of the id is a part of its hash, and only the rest is random.
    pub(super) fn payload(&self) -> [u8; PAYLOAD] {
        let RatedCall { channel, scope, weight, key } = self.call;
        let is_canary = if channel == Channel::Canary { CANARY } else { 0 };
        let is_evidence = if scope == Scope::Evidence { EVIDENCE } else { 0 };
        let mut payload = [0; PAYLOAD];
        let has_key = if key.is_some() { KEY } else { 0 };
        payload[0] = VERSION | is_canary | is_evidence | has_key;
        payload[1..5].copy_from_slice(&self.canary.0.to_be_bytes());
        payload[5..13].copy_from_slice(&self.salt.0.to_be_bytes());
        // A weight is less than 2^20 ppm, so its first byte is zero.
        payload[13..16].copy_from_slice(&weight.ppm().to_be_bytes()[1..]);
        payload[16..20].copy_from_slice(&self.issued.to_be_bytes());
        payload[20..].copy_from_slice(&self.id.to_be_bytes());
        payload
    }

    fn from_bytes(
        payload: [u8; PAYLOAD],
        signature: Option<Signature>,
    ) -> Result<Self, InvalidReceipt> {
        let mut rest = &payload[..];
        let [flags] = take(&mut rest);
        if flags & !(CANARY | EVIDENCE | KEY) != VERSION {
            return Err(InvalidReceipt::Version);
        }
        let canary = CanaryTag(u32::from_be_bytes(take(&mut rest)));
        let salt = SaltTag(u64::from_be_bytes(take(&mut rest)));
        let [high, middle, low] = take(&mut rest);
        let weight = Weight::try_from_ppm(u32::from_be_bytes([0, high, middle, low]))
            .map_err(|_| InvalidReceipt::Weight)?;
        let issued = u32::from_be_bytes(take(&mut rest));
        let id: [u8; 8] = take(&mut rest);
        let call = RatedCall {
            channel: if flags & CANARY == 0 { Channel::Stable } else { Channel::Canary },
            scope: if flags & EVIDENCE == 0 { Scope::Excluded } else { Scope::Evidence },
            weight,
            key: (flags & KEY != 0).then(|| u32::from_be_bytes(take(&mut &id[..]))),
        };
        Ok(Self { canary, salt, call, issued, id: u64::from_be_bytes(id), signature })
    }
}

/// Splits off the first `N` bytes.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    *rest
        .split_off(..N)
        .and_then(|taken| taken.first_chunk())
        .expect("the fields add up to the length of the payload")
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; SIGNED];
        bytes[..PAYLOAD].copy_from_slice(&self.payload());
        let bytes = match &self.signature {
            None => &bytes[..PAYLOAD],
            Some(signature) => {
                bytes[PAYLOAD..SIGNED].copy_from_slice(signature);
                &bytes[..]
            }
        };
        let mut text = [0; SIGNED_TEXT];
        let length = BASE64_URL_SAFE_NO_PAD
            .encode_slice(bytes, &mut text)
            .expect("the buffer fits a signed receipt");
        f.pad(str::from_utf8(&text[..length]).expect("base64 is ASCII"))
    }
}

impl str::FromStr for Receipt {
    type Err = InvalidReceipt;

    fn from_str(text: &str) -> Result<Self, InvalidReceipt> {
        if ![PAYLOAD_TEXT, SIGNED_TEXT].contains(&text.len()) {
            return Err(InvalidReceipt::Length(text.len()));
        }
        let mut bytes = [0; SIGNED];
        let length = BASE64_URL_SAFE_NO_PAD
            .decode_slice(text, &mut bytes)
            .map_err(|_| InvalidReceipt::Characters)?;
        let (payload, signature) =
            bytes.split_first_chunk().expect("the buffer is longer than the payload");
        let signature = (length == SIGNED)
            .then(|| signature.try_into().expect("the rest has the length of a signature"));
        Self::from_bytes(*payload, signature)
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The id is left out: a complete receipt in a log could be redeemed.
        f.debug_struct("Receipt")
            .field("channel", &self.call.channel)
            .field("weight", &self.call.weight)
            .field("issued", &self.issued)
            .field("is_signed", &self.signature.is_some())
            .finish_non_exhaustive()
    }
}

/// The error for text that is not a valid [`Receipt`]. The message does not repeat the text.
#[derive(Clone, Copy, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidReceipt {
    /// The text has a length, in bytes, that no receipt has.
    Length(usize),
    /// The text is not unpadded base64 in the alphabet for URLs.
    Characters,
    /// The version of the format is unknown.
    Version,
    /// The weight is above 100%.
    Weight,
}

impl fmt::Display for InvalidReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid receipt: ")?;
        match self {
            Self::Length(length) => {
                write!(f, "{length} bytes, expected {PAYLOAD_TEXT}, or {SIGNED_TEXT} if signed")
            }
            Self::Characters => f.write_str("expected unpadded base64 in the alphabet for URLs"),
            Self::Version => f.write_str("unknown version, expected 1"),
            Self::Weight => f.write_str("the weight is above 100%"),
        }
    }
}

canary_core::debug_as_display!(InvalidReceipt);

impl error::Error for InvalidReceipt {}

const VERSION: u8 = 0x10;
const CANARY: u8 = 1;
const EVIDENCE: u8 = 2;
const KEY: u8 = 4;

const PAYLOAD: usize = 28;
const SIGNED: usize = PAYLOAD + size_of::<Signature>();
const PAYLOAD_TEXT: usize = (PAYLOAD * 4).div_ceil(3);
const SIGNED_TEXT: usize = (SIGNED * 4).div_ceil(3);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn receipt() -> impl Strategy<Value = Receipt> {
        let call = (any::<bool>(), any::<bool>(), any::<bool>(), 0..=1_000_000_u32);
        let tags = (any::<u32>(), any::<u64>());
        (call, tags, any::<u32>(), any::<u64>(), any::<Option<Signature>>()).prop_map(
            |((is_canary, is_evidence, has_key, ppm), (canary, salt), issued, id, signature)| {
                Receipt {
                    canary: CanaryTag(canary),
                    salt: SaltTag(salt),
                    call: RatedCall {
                        channel: if is_canary { Channel::Canary } else { Channel::Stable },
                        scope: if is_evidence { Scope::Evidence } else { Scope::Excluded },
                        weight: Weight::from_ppm(ppm),
                        key: has_key.then(|| u32::try_from(id >> 32).unwrap()),
                    },
                    issued,
                    id,
                    signature,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn every_receipt_round_trips_through_its_text(receipt in receipt()) {
            let text = receipt.to_string();
            prop_assert!(text.len() <= Receipt::MAX_LENGTH);
            let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            prop_assert!(text.bytes().all(is_safe), "{text}");
            prop_assert_eq!(text.parse(), Ok(receipt));
        }

        #[test]
        fn a_truncated_receipt_is_invalid(receipt in receipt(), length in 0..59_usize) {
            let text = receipt.to_string();
            prop_assume!(length < text.len() && length != PAYLOAD_TEXT);
            let part = text[..length].parse::<Receipt>();
            prop_assert_eq!(part, Err(InvalidReceipt::Length(length)));
        }

        #[test]
        fn parsing_never_panics(text in "\\PC{0,70}", similar in "[A-Za-z0-9_-]{38}") {
            let _ = text.parse::<Receipt>();
            if let Ok(receipt) = similar.parse::<Receipt>() {
                prop_assert_eq!(receipt.to_string(), similar, "a receipt has only one text");
            }
        }
    }

    /// During an upgrade, replicas with different versions of this crate exchange receipts.
    #[test]
    fn the_format_does_not_change() {
        let receipt = Receipt {
            canary: CanaryTag::of(&"shop".parse().unwrap()),
            salt: SaltTag::of("shop:v2"),
            call: RatedCall {
                channel: Channel::Canary,
                scope: Scope::Evidence,
                weight: Weight::from_ppm(1_000),
                key: None,
            },
            issued: 1_700_000_000,
            id: 0x0123_4567_89ab_cdef,
            signature: None,
        };
        assert_eq!(receipt.to_string(), GOLDEN);
        assert!(!format!("{receipt:?}").contains("cdef"));
    }

    #[test]
    fn invalid_text_is_refused_and_not_repeated_in_the_error() {
        let at = |index: usize, with: &str| {
            let mut text = GOLDEN.to_owned();
            text.replace_range(index..index + with.len(), with);
            text.parse::<Receipt>().unwrap_err()
        };
        assert_eq!(at(3, "="), InvalidReceipt::Characters);
        assert_eq!(at(0, "I"), InvalidReceipt::Version);
        assert_eq!(at(18, "____"), InvalidReceipt::Weight);
        let message = "invalid receipt: the weight is above 100%";
        assert_eq!(at(18, "____").to_string(), message);
    }

    const GOLDEN: &str = "E71wkEecotlxhltMIwAD6GVT8QABI0VniavN7w";
}
