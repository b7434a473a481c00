//! Changes zips at random: their records, their order, the numbers in them.

use fastrand::Rng;

/// The records of a zip.
#[derive(Clone)]
pub(super) struct Pieces {
    /// Local header with name and extra fields; data; what is behind it.
    locals: Vec<[Vec<u8>; 3]>,
    centrals: Vec<Vec<u8>>,
    end: Vec<u8>,
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    u16::from_le_bytes([bytes[at], bytes[at + 1]]).into()
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
}

/// Takes a good zip apart.
pub(super) fn pieces(zip: &[u8]) -> Pieces {
    let end = zip.windows(4).rposition(|bytes| bytes == b"PK\x05\x06").unwrap();
    let (count, directory) = (u16_at(zip, end + 10), u32_at(zip, end + 16));
    let mut centrals = Vec::new();
    let mut at = directory;
    for _ in 0..count {
        let len = 46 + u16_at(zip, at + 28) + u16_at(zip, at + 30) + u16_at(zip, at + 32);
        centrals.push(zip[at..at + len].to_vec());
        at += len;
    }
    let starts: Vec<usize> = centrals.iter().map(|central| u32_at(central, 42)).chain([directory]).collect();
    let local = |(central, bounds): (&Vec<u8>, &[usize])| {
        let (start, next) = (bounds[0], bounds[1]);
        let data = start + 30 + u16_at(zip, start + 26) + u16_at(zip, start + 28);
        let behind = data + u32_at(central, 20);
        [zip[start..data].to_vec(), zip[data..behind].to_vec(), zip[behind..next].to_vec()]
    };
    let locals = centrals.iter().zip(starts.windows(2)).map(local).collect();
    Pieces { locals, centrals, end: zip[end..].to_vec() }
}

/// A zip that differs from the good one in a few places.
pub(super) fn mutant(base: &Pieces, random: &mut Rng) -> Vec<u8> {
    let mut pieces = base.clone();
    let mut between = Vec::new();
    for _ in 0..random.usize(1..4) {
        change(&mut pieces, &mut between, random);
    }
    let is_mended = random.u8(..8) > 0;
    let mut zip = Vec::new();
    let mut starts = Vec::new();
    for (nth, local) in pieces.locals.iter().enumerate() {
        starts.push(zip.len());
        for bytes in local {
            zip.extend(bytes);
        }
        between
            .iter()
            .filter(|(at, _)| *at == nth)
            .for_each(|(_, bytes): &(usize, Vec<u8>)| zip.extend(bytes));
    }
    let directory = zip.len();
    for (nth, central) in pieces.centrals.iter().enumerate() {
        let mut central = central.clone();
        if is_mended && let Some(start) = starts.get(nth) {
            central[42..46].copy_from_slice(&u32::try_from(*start).unwrap().to_le_bytes());
        }
        zip.extend(central);
    }
    let mut end = pieces.end;
    if is_mended {
        let count = u16::try_from(pieces.centrals.len()).unwrap().to_le_bytes();
        end[8..10].copy_from_slice(&count);
        end[10..12].copy_from_slice(&count);
        end[12..16].copy_from_slice(&u32::try_from(zip.len() - directory).unwrap().to_le_bytes());
        end[16..20].copy_from_slice(&u32::try_from(directory).unwrap().to_le_bytes());
    }
    zip.extend(end);
    zip
}

const ODD: [u8; 12] = [0, 1, b'/', b'\\', b'.', b' ', b'A', 0x7f, 0x80, 0xc3, 0xff, b'P'];

fn change(pieces: &mut Pieces, between: &mut Vec<(usize, Vec<u8>)>, random: &mut Rng) {
    let count = pieces.locals.len().min(pieces.centrals.len());
    if count == 0 {
        return;
    }
    let nth = random.usize(..count);
    match random.u8(..13) {
        // One bit of a header.
        0 => flip(&mut pieces.locals[nth][0], random),
        1 => flip(&mut pieces.centrals[nth], random),
        2 => flip(&mut pieces.end, random),
        // A bit of the same place in both headers, which differ by their first two fields.
        3 => {
            let (at, bit) = (random.usize(..26), random.u8(..8));
            pieces.locals[nth][0][4 + at] ^= 1 << bit;
            pieces.centrals[nth][6 + at] ^= 1 << bit;
        }
        // A byte of the name in both.
        4 | 5 => {
            let len = u16_at(&pieces.locals[nth][0], 26);
            let (at, byte) = (random.usize(..len.max(1)), ODD[random.usize(..ODD.len())]);
            if at < len && pieces.locals[nth][0].len() >= 30 + len && pieces.centrals[nth].len() >= 46 + len {
                pieces.locals[nth][0][30 + at] = byte;
                pieces.centrals[nth][46 + at] = byte;
            }
        }
        // Times and attributes, which all readers may read as they like.
        6 => pieces.centrals[nth][random.usize(36..42)] = random.u8(..),
        7 => {
            let at = random.usize(..4);
            pieces.centrals[nth][12 + at] = random.u8(..);
        }
        // An extra field.
        8 => extra(&mut pieces.centrals[nth], 30, 46, random),
        9 => extra(&mut pieces.locals[nth][0], 28, 30, random),
        // A comment.
        10 => {
            let end = pieces.end.clone();
            let comment: &[u8] = [&b"comment"[..], b"PK\x05\x06", b"", &end][random.usize(..4)];
            pieces.end.truncate(22);
            pieces.end[20..22].copy_from_slice(&u16::try_from(comment.len()).unwrap().to_le_bytes());
            pieces.end.extend(comment);
        }
        // An entry twice, out of order, or only in one of the two places.
        11 => match random.u8(..4) {
            0 => {
                let (local, central) = (pieces.locals[nth].clone(), pieces.centrals[nth].clone());
                pieces.locals.push(local);
                pieces.centrals.push(central);
            }
            1 => pieces.centrals.swap(0, nth),
            2 => drop(pieces.locals.remove(nth)),
            _ => {
                pieces.locals.remove(nth);
                pieces.centrals.remove(nth);
            }
        },
        // Something between two entries, or in the data.
        _ => match random.u8(..3) {
            0 => between.push((nth, vec![b'P'; random.usize(1..20)])),
            1 => flip(&mut pieces.locals[nth][1], random),
            _ => flip(&mut pieces.locals[nth][2], random),
        },
    }
}

fn flip(bytes: &mut [u8], random: &mut Rng) {
    if !bytes.is_empty() {
        let at = random.usize(..bytes.len());
        bytes[at] ^= 1 << random.u8(..8);
    }
}

/// Puts an extra field in front of the others of a header.
fn extra(header: &mut Vec<u8>, length: usize, fixed: usize, random: &mut Rng) {
    let name_length = u16_at(header, if fixed == 46 { 28 } else { 26 });
    if header.len() < fixed + name_length {
        return;
    }
    let id = [1_u16, 0x7075, 0x5455, 0x9901, 0xcafe][random.usize(..5)];
    let data: Vec<u8> = match random.u8(..3) {
        0 => Vec::new(),
        1 => [b"\x01\0\0\0\0", &header[fixed..fixed + name_length]].concat(),
        _ => vec![random.u8(..); random.usize(..30)],
    };
    let mut field = id.to_le_bytes().to_vec();
    // Its length may be wrong.
    let wrong = usize::from(random.u8(..8) == 0);
    field.extend(u16::try_from(data.len() + wrong).unwrap().to_le_bytes());
    field.extend(data);
    let whole = u16::try_from(u16_at(header, length) + field.len()).unwrap_or(u16::MAX).to_le_bytes();
    header[length..length + 2].copy_from_slice(&whole);
    header.splice(fixed + name_length..fixed + name_length, field);
}
