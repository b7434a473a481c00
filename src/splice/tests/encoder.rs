//! Makes gzip files token by token, so that every part of them is chosen here.

use fastrand::Rng;

use super::super::fixed::{self, BlockPosition, DISTANCES, LENGTHS, LITERAL_LENGTHS};
use super::super::huffman::{Code, code_of};
use super::super::output::Output;

/// Bytes that compress, with repetitions near and far.
pub(crate) fn text(len: usize, random: &mut Rng) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::with_capacity(len + 300);
    while bytes.len() < len {
        if bytes.len() > 10 && random.u8(..4) > 0 {
            let distance = random.usize(1..=bytes.len().min(40_000));
            for _ in 0..random.usize(1..200) {
                bytes.push(bytes[bytes.len() - distance]);
            }
        } else {
            let count = random.usize(1..20);
            bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(count));
        }
    }
    bytes.truncate(len);
    bytes
}

/// A gzip member around a DEFLATE stream, with a header of any kind.
pub(crate) fn gzip(stream: &[u8], bytes: &[u8], random: &mut Rng) -> Vec<u8> {
    let flags = random.u8(..32);
    let mut gz = vec![0x1f, 0x8b, 8, flags];
    gz.extend(std::iter::repeat_with(|| random.u8(..)).take(6));
    if flags & 4 != 0 {
        // As bgzip has it.
        gz.extend_from_slice(&[6, 0, b'B', b'C', 2, 0, random.u8(..), random.u8(..)]);
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            gz.extend_from_slice(b"name\0");
        }
    }
    if flags & 2 != 0 {
        let crc = crc32fast::hash(&gz).to_le_bytes();
        gz.extend_from_slice(&crc[..2]);
    }
    gz.extend_from_slice(stream);
    gz.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    gz.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
    gz
}

#[derive(Clone, Copy)]
enum Token {
    Literal(u8),
    Copy(u16, u16),
}

/// Makes random files.
pub(crate) struct Maker<'a> {
    random: &'a mut Rng,
    /// How far most copies reach, how long most are, and how many of 16 tokens are literals.
    reach: usize,
    longest: u16,
    literals: u8,
    /// How many tokens or bytes a block has at the most.
    block: usize,
}

impl<'a> Maker<'a> {
    pub(crate) fn new(random: &'a mut Rng) -> Self {
        let reach = *random.choice(&[1, 8, 300, 32_768]).unwrap();
        let longest = *random.choice(&[3, 20, 258]).unwrap();
        let literals = *random.choice(&[1, 8, 15, 16]).unwrap();
        let block = *random.choice(&[1, 50, 3000, 40_000]).unwrap();
        Self { random, reach, longest, literals, block }
    }

    /// A gzip file and what is in it.
    pub(crate) fn file(&mut self) -> (Vec<u8>, Vec<u8>) {
        let wanted = *self.random.choice(&[10, 1000, 66_000, 200_000]).unwrap();
        let members = *self.random.choice(&[1, 1, 2, 9]).unwrap();
        let (mut gz, mut all) = (Vec::new(), Vec::new());
        for _ in 0..members {
            let (stream, bytes) = self.stream(wanted / members);
            gz.extend(gzip(&stream, &bytes, self.random));
            all.extend(bytes);
        }
        (gz, all)
    }

    /// A DEFLATE stream and what is in it: `wanted` bytes or more, or many blocks.
    pub(crate) fn stream(&mut self, wanted: usize) -> (Vec<u8>, Vec<u8>) {
        let (mut output, mut bytes) = (Output::default(), Vec::new());
        for nth in 0.. {
            let last = bytes.len() > wanted || nth == 4000;
            self.block(
                &mut output,
                &mut bytes,
                if last { BlockPosition::Last } else { BlockPosition::Middle },
            );
            if last {
                break;
            }
        }
        output.align();
        (output.bytes().to_vec(), bytes)
    }

    fn block(&mut self, output: &mut Output, bytes: &mut Vec<u8>, place: BlockPosition) {
        let kind = self.random.u8(..8);
        // Some blocks are empty.
        let count = if self.random.u8(..8) == 0 { 0 } else { self.random.usize(..=self.block) };
        if kind == 0 {
            let count = count.min(65_535);
            output.put(u32::from(place == BlockPosition::Last), 3);
            // The bits up to the next byte mean nothing.
            let odd = (output.position() % 8) as u32;
            if odd > 0 {
                let filler = u32::from(self.random.u8(..));
                output.put(filler & ((1 << (8 - odd)) - 1), 8 - odd);
            }
            let length = u16::try_from(count).unwrap();
            output.put(u32::from(length) | u32::from(!length) << 16, 32);
            let data: Vec<u8> = std::iter::repeat_with(|| self.random.u8(..)).take(count).collect();
            output.put_bytes(&data);
            bytes.extend(data);
            return;
        }
        let tokens: Vec<Token> = (0..count).map(|_| self.token(bytes)).collect();
        if kind < 3 {
            fixed::put_header(output, place);
            for token in tokens {
                match token {
                    Token::Literal(byte) => fixed::put_literal(output, byte),
                    Token::Copy(length, distance) => fixed::put_copy(output, length, distance),
                }
            }
            fixed::put_end(output);
        } else {
            self.dynamic(output, &tokens, place);
        }
    }

    fn token(&mut self, bytes: &mut Vec<u8>) -> Token {
        let most = bytes.len().min(if self.random.u8(..16) == 0 { 32_768 } else { self.reach });
        if most == 0 || self.random.u8(..16) < self.literals {
            let byte = if self.random.bool() { self.random.u8(..) } else { b'a' };
            bytes.push(byte);
            return Token::Literal(byte);
        }
        let distance = if self.random.u8(..4) == 0 { most } else { self.random.usize(1..=most) };
        let length = if self.random.u8(..16) == 0 { 258 } else { self.random.u16(3..=self.longest) };
        for _ in 0..length {
            bytes.push(bytes[bytes.len() - distance]);
        }
        Token::Copy(length, u16::try_from(distance).unwrap())
    }

    fn dynamic(&mut self, output: &mut Output, tokens: &[Token], place: BlockPosition) {
        // 258 has a symbol of its own; the one before, with all extra bits set, stands for it too.
        let symbols = if self.random.u8(..4) == 0 { &LENGTHS[..28] } else { &LENGTHS[..] };
        let length_symbol = |length: u16| symbols.iter().rposition(|range| range.base <= length).unwrap();
        let mut used = vec![256_usize];
        let mut distances_used = Vec::new();
        for token in tokens {
            match *token {
                Token::Literal(byte) => used.push(byte.into()),
                Token::Copy(length, distance) => {
                    used.push(257 + length_symbol(length));
                    distances_used.push(DISTANCES.iter().rposition(|range| range.base <= distance).unwrap());
                }
            }
        }
        let lengths = self.lengths(used, 286, 15);
        let distances = self.lengths(distances_used, 30, 15);
        // As few as there must be, or some more.
        let count = |lengths: &[u8], least: usize, more: usize| {
            let used = lengths.iter().rposition(|length| *length > 0).map_or(0, |last| last + 1);
            (used.max(least) + more).min(lengths.len())
        };
        let literal_count = count(&lengths, 257, self.random.usize(..3));
        let distance_count = count(&distances, 1, self.random.usize(..3));
        let all = [&lengths[..literal_count], &distances[..distance_count]].concat();
        let runs = self.runs(&all);

        output.put(u32::from(place == BlockPosition::Last) | 2 << 1, 3);
        output.put(u32::try_from(literal_count - 257).unwrap(), 5);
        output.put(u32::try_from(distance_count - 1).unwrap(), 5);
        let mut symbols: Vec<usize> = runs.iter().map(|(symbol, _, _)| *symbol).collect();
        // This code must be complete, so it has two symbols at least.
        symbols.extend([0, 18]);
        let order = self.lengths(symbols, 19, 7);
        output.put(19 - 4, 4);
        for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15] {
            output.put(order[symbol].into(), 3);
        }
        for (symbol, extra, bits) in runs {
            put(output, code_of(symbol, &order));
            output.put(extra, bits);
        }
        let (mut literal_codes, mut distance_codes) = (Codes::new(&lengths), Codes::new(&distances));
        for token in tokens {
            match *token {
                Token::Literal(byte) => put(output, literal_codes.of(byte.into())),
                Token::Copy(length, distance) => {
                    let symbol = length_symbol(length);
                    put(output, literal_codes.of(257 + symbol));
                    output.put((length - LENGTHS[symbol].base).into(), LENGTHS[symbol].extra.into());
                    let symbol = DISTANCES.iter().rposition(|range| range.base <= distance).unwrap();
                    put(output, distance_codes.of(symbol));
                    output.put((distance - DISTANCES[symbol].base).into(), DISTANCES[symbol].extra.into());
                }
            }
        }
        put(output, literal_codes.of(256));
    }

    /// A complete code of any shape for the symbols that are used, and maybe some others.
    fn lengths(&mut self, mut used: Vec<usize>, symbols: usize, longest: u8) -> Vec<u8> {
        for _ in 0..*self.random.choice(&[0, 0, 3, 40]).unwrap() {
            used.push(self.random.usize(..symbols));
        }
        used.sort_unstable();
        used.dedup();
        self.random.shuffle(&mut used);
        let mut lengths = vec![0; symbols];
        if used.len() < 2 {
            for symbol in used {
                lengths[symbol] = 1;
            }
            return lengths;
        }
        // The leaves of a tree that is split at random places, often at its deepest.
        let mut leaves = vec![1, 1];
        while leaves.len() < used.len() {
            let mut at = self.random.usize(..leaves.len());
            if self.random.bool() {
                at = leaves.len() - 1;
            }
            if leaves[at] < longest {
                let depth = leaves.remove(at) + 1;
                leaves.extend([depth, depth]);
            } else {
                let shallow = leaves.iter().position(|depth| *depth < longest).unwrap();
                let depth = leaves.remove(shallow) + 1;
                leaves.extend([depth, depth]);
            }
        }
        for (symbol, depth) in used.iter().zip(leaves) {
            lengths[*symbol] = depth;
        }
        lengths
    }

    /// Code lengths as symbols with extra bits (RFC 1951 3.2.7), repetitions used or not.
    fn runs(&mut self, all: &[u8]) -> Vec<(usize, u32, u32)> {
        let mut runs = Vec::new();
        let mut at = 0;
        while at < all.len() {
            let same = all[at..].iter().take_while(|length| **length == all[at]).count();
            let small = |number: usize| u32::try_from(number).unwrap();
            let again = at > 0 && all[at - 1] == all[at];
            let (count, run) = match all[at] {
                0 if same >= 11 && self.random.bool() => (same.min(138), (18, small(same.min(138) - 11), 7)),
                0 if same >= 3 && self.random.bool() => (same.min(10), (17, small(same.min(10) - 3), 3)),
                _ if again && same >= 3 && self.random.bool() => {
                    (same.min(6), (16, small(same.min(6) - 3), 2))
                }
                length => (1, (usize::from(length), 0, 0)),
            };
            runs.push(run);
            at += count;
        }
        runs
    }
}

/// A last block of `bytes`, each below 254, with codes for lengths, of which none is used, and none for distances.
pub(crate) fn without_distances(bytes: &[u8]) -> Vec<u8> {
    let mut lengths = vec![8; 261];
    for symbol in [254, 255, 257, 258, 259] {
        lengths[symbol] = 0;
    }
    let mut output = Output::default();
    output.put(1 | 2 << 1, 3);
    output.put(u32::try_from(lengths.len() - 257).unwrap(), 5);
    // One distance code, of no bits.
    output.put(0, 5);
    // Up to the length 0 and 8, of one bit each.
    output.put(5 - 4, 4);
    for bits in [0, 0, 0, 1, 1] {
        output.put(bits, 3);
    }
    for length in lengths.iter().chain(&[0]) {
        output.put(u32::from(*length == 8), 1);
    }
    let mut codes = Codes::new(&lengths);
    for byte in bytes {
        put(&mut output, codes.of(usize::from(*byte)));
    }
    put(&mut output, codes.of(256));
    output.align();
    output.bytes().to_vec()
}

/// Codes of symbols, each found when it is first needed.
struct Codes<'a>(&'a [u8], Vec<Option<Code>>);

impl<'a> Codes<'a> {
    fn new(lengths: &'a [u8]) -> Self {
        Self(lengths, vec![None; lengths.len()])
    }

    fn of(&mut self, symbol: usize) -> Code {
        *self.1[symbol].get_or_insert_with(|| code_of(symbol, self.0))
    }
}

fn put(output: &mut Output, code: Code) {
    assert!(code.count > 0, "a symbol without a code");
    output.put(code.bits, code.count);
}

#[test]
fn the_fixed_code_is_the_one_of_its_lengths() {
    let (mut ours, mut theirs) = (Output::default(), Output::default());
    for byte in [0, 143, 144, 255] {
        fixed::put_literal(&mut ours, byte);
        put(&mut theirs, code_of(byte.into(), &LITERAL_LENGTHS));
    }
    fixed::put_end(&mut ours);
    put(&mut theirs, code_of(256, &LITERAL_LENGTHS));
    assert!(ours.bytes() == theirs.bytes() && ours.position() == theirs.position());
}
