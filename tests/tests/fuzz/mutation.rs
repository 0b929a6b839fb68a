use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

/// Calls `check` with inputs that resemble those of the corpus. A panic prints the input, and the
/// seed that repeats it.
///
/// `CANARY_FUZZ_CASES` is the number of inputs, and `CANARY_FUZZ_SEED` the seed of the first one.
pub(crate) fn fuzz(corpus: &[&[u8]], mut check: impl FnMut(&[u8])) {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let (cases, first) =
        (number("CANARY_FUZZ_CASES").unwrap_or(1_000), number("CANARY_FUZZ_SEED").unwrap_or(1));
    for seed in first..first + cases {
        let input = mutated(corpus, &mut Random::of(seed));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&input))) {
            println!("repeat with CANARY_FUZZ_SEED={seed} CANARY_FUZZ_CASES=1");
            println!("{}", String::from_utf8_lossy(&input));
            resume_unwind(panic);
        }
    }
}

/// Returns a member of the corpus with up to eight changes.
fn mutated(corpus: &[&[u8]], random: &mut Random) -> Vec<u8> {
    let mut input = random.pick(corpus).to_vec();
    for _ in 0..random.below(9) {
        let at = random.below(input.len() + 1);
        let end = at + random.below(input.len() + 1 - at).min(random.below(64));
        match random.below(8) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 => input.insert(at, u8::try_from(random.below(256)).unwrap()),
            2 => drop(input.drain(at..end)),
            3 => {
                let part = input[at..end].to_vec();
                let to = random.below(input.len() + 1);
                input.splice(to..to, part);
            }
            4 => {
                let other = random.pick(corpus);
                let from = random.below(other.len() + 1);
                let to = from + random.below(other.len() + 1 - from).min(64);
                input.splice(at..end, other[from..to].iter().copied());
            }
            5 | 6 => drop(input.splice(at..end, random.pick(TOKENS).bytes())),
            _ => replace_number(&mut input, at, random),
        }
    }
    input
}

/// Replaces the first number after `at` by one at a limit.
fn replace_number(input: &mut Vec<u8>, at: usize, random: &mut Random) {
    let Some(start) = input[at..].iter().position(u8::is_ascii_digit) else { return };
    let start = at + start;
    let len = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    input.splice(start..start + len, random.pick(NUMBERS).bytes());
}

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "255",
    "65536",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "0.1",
];

/// Texts that have a meaning in some format.
const TOKENS: &[&str] = &[
    "",
    " ",
    "\t",
    "\r\n",
    "\n\n",
    "\0",
    "\u{FEFF}",
    "\u{202E}",
    "\u{2028}",
    "ä",
    "\u{1F424}",
    "\"",
    "'",
    "\\",
    "\\u0000",
    "\\uD800",
    "{",
    "}",
    "[",
    "]",
    "[[",
    "(",
    ":",
    ";",
    ",",
    "=",
    "==",
    ".",
    "..",
    "#",
    "&a",
    "*a",
    "!!x",
    "---",
    "%",
    "%00",
    "%2e",
    "+",
    "-",
    "/",
    "//",
    "://",
    "@",
    "null",
    "true",
    "NaN",
    "100%",
    "366d",
    "1n",
    "99999999H",
    "sha256=",
    "application/grpc",
    "canary.shop=canary",
    "v1.",
    "steps",
    "weight",
    "since",
    "plan",
    "history",
    "unknown",
    "$schema",
];

/// A pseudo-random generator with a fixed sequence.
struct Random(u64);

impl Random {
    fn of(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            random.next();
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap()
    }

    fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }
}
