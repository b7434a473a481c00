//! Tarballs, changed field by field, header by header, and around the compression.

use std::io::Write as _;
use std::ops::Range;

use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;

const BLOCK: usize = 512;

/// A tar file in pieces: a header with its data, or the end.
type Pieces = Vec<Vec<u8>>;

/// Fields by their places, with values that some program reads in its own way.
const FIELDS: &[(Range<usize>, &[&[u8]])] = &[
    (
        0..100,
        &[
            b"",
            b"a",
            b"../x",
            b"a/",
            b"/a",
            b"a\0b",
            b"#mtree",
            b"070707",
            b"BZh91AY&SY",
            b"terraform-provider-x",
            b"\xff",
            b"._a",
            b"d/._terraform-provider-x",
        ],
    ),
    (
        100..108,
        &[
            b"0000755\0",
            b"        ",
            b"-0000755",
            b"0100644\0",
            b"0040755\0",
            b"0120777\0",
            b"755",
            b"\x80\0\0\0\0\0\x01\xed",
            b"7777777 ",
        ],
    ),
    (
        108..116,
        &[
            b"garbage!",
            b"+0000000",
            b"\x81\0\0\0\0\0\0\0",
            b"\x80\0\0\0\0\x01\0\0",
            b"\xff\xff\xff\xff\xff\xff\xff\xfe",
            b"0 0",
            b"\x000000000",
            b"77777777",
            b"0x10",
            b"0_0",
        ],
    ),
    (
        116..124,
        &[
            b"        ",
            b"0\0garbag",
            b"\x80\0\0\x01\0\0\0\0",
            b"\x80\0\0\0\xff\xff\xff\xff",
            b"1 1",
            b"99999999",
        ],
    ),
    (
        124..136,
        &[
            b"00000000000\0",
            b"00000001000\0",
            b"00000000001\0",
            b"+0000001000\0",
            b"-0000001000\0",
            b"       1000\0",
            b"       1000 ",
            b"\x80\0\0\0\0\0\0\0\0\0\x02\0",
            b"\x81\0\0\0\0\0\0\0\0\0\x02\0",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\0",
            b"\x0000000001000",
            b"1000\x000000000",
            b"000000010000",
            b"0x200",
            b"1_000",
            b"\t1000",
        ],
    ),
    (
        136..148,
        &[
            b"garbage!",
            b"            ",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
            b"77777777777\0",
            b"777777777777",
            b"\x80\0\0\0\0\0\0\xe8\xd4\xa5\x10\0",
        ],
    ),
    (
        156..157,
        &[
            b"0", b"\0", b"1", b"2", b"3", b"5", b"6", b"7", b"S", b"D", b"x", b"X", b"g", b"L", b"K", b"V",
            b"M", b"A", b" ", b"z",
        ],
    ),
    (157..257, &[b"target", b"terraform-provider-x"]),
    (257..263, &[b"ustar\0", b"ustar ", b"ustar", b"\0\0\0\0\0\0", b"USTAR\0", b"ustarx"]),
    (263..265, &[b"00", b" \0", b"\0\0", b"01", b"0\0", b"  "]),
    (257..265, &[b"ustar\x0000", b"ustar  \0", b"\0\0\0\0\0\0\0\0", b"ustar\0\0\0", b"ustar\x0001"]),
    (265..297, &[b"root", b"a b", b"\xff\xfe", b"root\0x"]),
    (297..329, &[b"root", b"\xc3\xa9"]),
    (329..337, &[b"0000000\0", b"        ", b"garbage!", b"\0\0\0\0\0\0\0\0"]),
    (337..345, &[b"0000000\0", b"xxxxxxxx", b"\xff\xff\xff\xff\xff\xff\xff\xff"]),
    (345..500, &[b"", b"d", b"d/", b"../d", b"00000000000", b"d\0e"]),
    (345..357, &[b"14553412345\0", b"            ", b"garbage"]),
    (476..500, &[b"00000000000 00000000000 ", b"0000000000 \x000000000000 \0", b"x"]),
    (386..482, &[b"00000000000\x0000000001000\0"]),
    (482..500, &[b"\x01", b"\x0000000000001\0"]),
    (483..495, &[b"00000000001\0"]),
    (500..512, &[b"x", b"\0\0\0\0\0\0\0\0tar\0"]),
];

/// Records of pax headers, well formed or nearly so; without their length.
const RECORDS: &[&str] = &[
    "path=b",
    "path=terraform-provider-x",
    "path=._terraform-provider-x",
    "path=",
    "path=../b",
    "path=b/",
    "path=b\0c",
    " path=b",
    "path =b",
    "Path=b",
    "path=é",
    "size=0",
    "size=512",
    "size=+512",
    "size=1_0",
    "size=",
    "mtime=1",
    "mtime=1.5",
    "mtime=1.",
    "mtime=nan",
    "mtime=",
    "mtime=1e9",
    "mtime=-1",
    "mtime=99999999999999999999",
    "uid=0",
    "uid=-1",
    "uid=4294967295",
    "uid=99999999999",
    "gid=x",
    "uname=é",
    "gname=\0",
    "comment=x",
    "comment=13 path=b\n",
    "comment=20 hdrcharset=BINARY\n",
    "hdrcharset=BINARY",
    "charset=x",
    "linkpath=b",
    "GNU.sparse.major=1",
    "GNU.sparse.minor=0",
    "GNU.sparse.name=b",
    "GNU.sparse.realsize=9",
    "GNU.sparse.size=9",
    "GNU.sparse.map=0,1",
    "SCHILY.realsize=9",
    "SCHILY.acl.access=user::---,group::---,other::---",
    "SCHILY.dev=1",
    "SCHILY.ino=x",
    "SCHILY.nlink=2",
    "SCHILY.fflags=nodump",
    "SCHILY.xattr.user.a=b\0\n",
    "LIBARCHIVE.xattr.user.a=Yg",
    "LIBARCHIVE.creationtime=1.5",
    "LIBARCHIVE.symlinktype=file",
    "SUN.holesdata= 0 5",
    "RHT.security.selinux=x",
    "GNU.volume.label=x",
    "GNU.dumpdir=x",
    "NODETAR.depth=1",
    "VENDOR.unknown=x",
    "=x",
    "mode=0",
    "atime=1",
    "ctime=1.25",
    "a\nb=c",
];

fn record(random: &mut Rng) -> Vec<u8> {
    let text = *random.choice(RECORDS).unwrap();
    let mut length = text.len() + 3;
    while length != text.len() + 2 + length.to_string().len() {
        length += 1;
    }
    let space = *random.choice(&[" ", " ", " ", " ", " ", " ", "  ", "\t"]).unwrap();
    let wrong = if random.u8(..20) == 0 { length + random.usize(..3) - 1 } else { length };
    let before = *random.choice(&["", "", "", "", "", "", "", "0", "+", " "]).unwrap();
    format!("{before}{wrong}{space}{text}\n").into_bytes()
}

/// Puts the right checksum into a header.
fn sum(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header[..BLOCK].iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A header of POSIX (`is_gnu`: GNU) form with its data.
pub(super) fn piece(kind: u8, name: &[u8], data: &[u8], is_gnu: bool) -> Vec<u8> {
    let mut piece = vec![0; BLOCK];
    piece[..name.len()].copy_from_slice(name);
    let mode = if name.starts_with(b"terraform") || kind == b'5' { "0000755\0" } else { "0000644\0" };
    piece[100..124].copy_from_slice(format!("{mode}0001750\x000001750\0").as_bytes());
    piece[124..148].copy_from_slice(format!("{:011o}\x0014553412345\0", data.len()).as_bytes());
    piece[156] = kind;
    piece[257..265].copy_from_slice(if is_gnu { b"ustar  \0" } else { b"ustar\x0000" });
    piece[265..269].copy_from_slice(b"root");
    sum(&mut piece);
    piece.extend_from_slice(data);
    piece.resize(piece.len().next_multiple_of(BLOCK), 0);
    piece
}

fn pax(random: &mut Rng) -> Vec<u8> {
    let data: Vec<u8> = (0..=random.usize(..2)).flat_map(|_| record(random)).collect();
    piece(*random.choice(b"xxxg").unwrap(), b"PaxHeaders/x", &data, false)
}

/// Cuts a tar file that is right.
pub(super) fn pieces(tar: &[u8]) -> Pieces {
    let mut pieces = Vec::new();
    let mut rest = tar;
    while rest.len() >= BLOCK && rest[..BLOCK].iter().any(|byte| *byte != 0) {
        let digits: String =
            rest[124..136].iter().map(|byte| char::from(*byte)).filter(char::is_ascii_digit).collect();
        let size = usize::from_str_radix(&digits, 8).unwrap_or(0);
        let (piece, behind) = rest.split_at((BLOCK + size.next_multiple_of(BLOCK)).min(rest.len()));
        pieces.push(piece.to_vec());
        rest = behind;
    }
    pieces.push(vec![0; 2 * BLOCK]);
    pieces
}

/// Changes one thing.
fn change(pieces: &mut Pieces, random: &mut Rng) {
    let at = random.usize(..pieces.len());
    let other = random.usize(..pieces.len());
    match random.u8(..20) {
        0..=6 => {
            let (field, values) = random.choice(FIELDS).unwrap();
            let value = *random.choice(*values).unwrap();
            let target = &mut pieces[at][field.clone()];
            if random.u8(..4) > 0 {
                target.fill(0);
            }
            target[..value.len()].copy_from_slice(value);
            if random.u8(..30) > 0 {
                sum(&mut pieces[at]);
            }
        }
        7 | 8 => {
            let byte = random.usize(..BLOCK);
            pieces[at][byte] = random.u8(..);
            if random.u8(..10) > 0 {
                sum(&mut pieces[at]);
            }
        }
        9 => pieces.insert(other, pieces[at].clone()),
        10 if pieces.len() > 1 => drop(pieces.remove(at)),
        11 => pieces.swap(at, other),
        12..=14 => pieces.insert(at, pax(random)),
        15 => {
            let name = *random
                .choice(&[
                    &b"long\0"[..],
                    b"long",
                    b"lo\0ng\0",
                    b"\0",
                    b"",
                    b"d/terraform-provider-x\0",
                    b"long/\0",
                ])
                .unwrap();
            pieces.insert(at, piece(b'L', b"././@LongLink", name, random.u8(..4) > 0));
        }
        16 => {
            // The header promises other data than follows.
            let size = *random.choice(&[0, 1, 511, 512, 513, 1024]).unwrap();
            pieces[at][124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
            sum(&mut pieces[at]);
        }
        17 => {
            // Data, or what fills its last block.
            let piece = &mut pieces[at];
            let byte = random.usize(..piece.len());
            let last = piece.len() - 1;
            let byte = if random.bool() { byte } else { last };
            piece[byte] = random.u8(..);
            if byte < BLOCK {
                sum(piece);
            }
        }
        18 => {
            let hidden = piece(b'0', b"terraform-provider-x", b"another", random.bool());
            let mut folder = piece(b'5', b"d/", b"", random.bool());
            folder[124..136].copy_from_slice(format!("{:011o}\0", hidden.len()).as_bytes());
            sum(&mut folder);
            folder.extend(hidden);
            pieces.insert(at, folder);
        }
        _ => {
            let length = pieces.last().unwrap().len();
            let length = *random.choice(&[0, 1, 512, 1000, 1024, 1025, 4096, length + 512]).unwrap();
            pieces.last_mut().unwrap().resize(length.max(BLOCK), 0);
        }
    }
    // Each piece has a header's bytes, for the changes that follow.
    for piece in pieces {
        if piece.len() < BLOCK {
            piece.resize(BLOCK, 0);
        }
    }
}

/// A tarball that is changed in a few ways.
pub(super) fn mutant(base: &Pieces, random: &mut Rng) -> Vec<u8> {
    let mut pieces = base.clone();
    for _ in 0..=random.usize(..2) {
        change(&mut pieces, random);
    }
    let mut tar = pieces.concat();
    if random.u8(..40) == 0 {
        tar.truncate(random.usize(..=tar.len()));
    }
    compressed(&tar, random)
}

/// One or more gzip members, with headers of all kinds and something behind them now and then.
fn compressed(tar: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut gz = Vec::new();
    let mut rest = tar;
    while !rest.is_empty() || gz.is_empty() {
        let count = if random.u8(..8) == 0 { random.usize(..=rest.len()) } else { rest.len() };
        let (now, behind) = rest.split_at(count);
        rest = behind;
        gz.extend(member(now, random));
    }
    match random.u8(..24) {
        0 => gz.extend(vec![0; random.usize(1..3000)]),
        1 => gz.extend((0..random.usize(1..20)).map(|_| random.u8(..))),
        2 => gz.extend([0, 0, 0x1f, 0x8b]),
        3 => {
            let at = random.usize(..gz.len());
            gz[at] ^= 1 << random.u8(..8);
        }
        4 => gz.truncate(random.usize(..gz.len())),
        5 => {
            let more = member(b"", random);
            gz.extend(more);
        }
        _ => {}
    }
    gz
}

fn member(data: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(random.u32(..2)));
    encoder.write_all(data).unwrap();
    let gz = encoder.finish().unwrap();
    if random.u8(..8) > 0 {
        return gz;
    }
    let flags = random.u8(..0x20) | if random.u8(..10) == 0 { 0x20 << random.u8(..3) } else { 0 };
    let mut header = vec![0x1f, 0x8b, 8, flags];
    header.extend((0..6).map(|_| random.u8(..)));
    if flags & 4 != 0 {
        header.extend([5, 0, 1, 2, 3, 4, 5]);
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            header.extend(vec![b'n'; random.usize(..600)]);
            header.push(0);
        }
    }
    if flags & 2 != 0 {
        let mut crc = crc32fast::hash(&header).to_le_bytes();
        crc[0] ^= u8::from(random.u8(..4) == 0);
        header.extend(&crc[..2]);
    }
    header.extend_from_slice(&gz[10..]);
    header
}
