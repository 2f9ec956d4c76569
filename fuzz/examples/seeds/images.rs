//! Images and data sets.

use std::io::Write;

use data::png::{Image, encode};
use data::{Dataset, Labels, edm_zip, idx};
use flate2::Compression;
use flate2::write::GzEncoder;
use zip::CompressionMethod;

use crate::Seed;
use crate::archives::zip;

fn image(channels: usize, side: usize) -> Vec<u8> {
    let pixels = (0..side * side * channels).map(|it| (it * 31) as u8).collect();
    encode(&Image { channels, height: side, width: side, pixels }).expect("a complete image")
}

/// Encodes a PNG file of these chunks, all with wrong checksums.
fn chunks(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, content) in chunks {
        bytes.extend((content.len() as u32).to_be_bytes());
        bytes.extend(*kind);
        bytes.extend(*content);
        bytes.extend([0; 4]);
    }
    bytes
}

/// Encodes a header: size, bits, color type, interlacing.
fn header(side: u32, bits: u8, color: u8, interlaced: u8) -> Vec<u8> {
    let side = side.to_be_bytes();
    [&side[..], &side, &[bits, color, 0, 0, interlaced]].concat()
}

/// One row of one pixel, stored.
const PIXEL: &[u8] = b"\x78\x01\x01\x02\x00\xfd\xff\x00\x07\x00\x0a\x00\x08";

pub fn pngs() -> Vec<Seed> {
    let made = |head: &[u8]| chunks(&[(b"IHDR", head), (b"IDAT", PIXEL), (b"IEND", b"")]);
    let palette = [
        (b"IHDR", &header(1, 1, 3, 0)[..]),
        (b"PLTE", b"\x01\x02\x03\x04\x05\x06"),
        (b"tRNS", b"\xff"),
        (b"IDAT", PIXEL),
        (b"IEND", b""),
    ];
    let animated = [
        (b"IHDR", &header(1, 8, 0, 0)[..]),
        (b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]),
        (b"fcTL", &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0]),
        (b"IDAT", PIXEL),
        (b"IEND", b""),
    ];
    let text = [
        (b"IHDR", &header(1, 8, 0, 0)[..]),
        (b"zTXt", &[&b"a\0\0"[..], PIXEL].concat()),
        (b"iCCP", &[&b"a\0\0"[..], PIXEL].concat()),
        (b"iTXt", b"a\0\0\0\0\0b"),
        (b"IDAT", PIXEL),
        (b"IEND", b""),
    ];
    let whole = image(3, 5);
    let torn = whole[..whole.len() - 5].to_vec();
    vec![
        ("grey", image(1, 4)),
        ("rgb", whole),
        ("interlaced", made(&header(1, 8, 0, 1))),
        ("bits", made(&header(1, 4, 0, 0))),
        ("palette", chunks(&palette)),
        ("animated", chunks(&animated)),
        ("text", chunks(&text)),
        ("hostile-size", made(&header(0x7fff_ffff, 8, 2, 0))),
        ("hostile-square", made(&header(256, 8, 2, 0))),
        ("hostile-sixteen", made(&header(1, 16, 0, 0))),
        ("hostile-alpha", made(&header(1, 8, 6, 0))),
        ("torn", torn),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::best());
    out.write_all(bytes).expect("a vector accepts all bytes");
    out.finish().expect("a vector accepts all bytes")
}

/// Images behind their length, then labels.
fn pair(images: &[u8], labels: &[u8]) -> Vec<u8> {
    [&(images.len() as u16).to_be_bytes(), images, labels].concat()
}

pub fn idx() -> Vec<Seed> {
    let encode = |dims: &[usize], bytes: &[u8]| idx::encode(dims, bytes).expect("sizes that fit");
    let images = encode(&[3, 2, 2], &[7; 12]);
    let labels = encode(&[3], &[0, 9, 1]);
    let claims = |dims: &[u32]| -> Vec<u8> {
        let dims_bytes = dims.iter().flat_map(|it| it.to_be_bytes());
        [0, 0, 8, dims.len() as u8].into_iter().chain(dims_bytes).collect()
    };
    // 16 MB of zeros, as announced, in 16 kB.
    let bomb = gzip(&[claims(&[1, 1 << 12, 1 << 12]), vec![0; 1 << 24]].concat());
    vec![
        ("plain", pair(&images, &labels)),
        ("gzip", pair(&gzip(&images), &gzip(&labels))),
        ("two-members", pair(&[gzip(&images[..9]), gzip(&images[9..])].concat(), &labels)),
        ("hostile-bomb", pair(&bomb, &encode(&[1], &[0]))),
        ("hostile-claim", pair(&claims(&[u32::MAX; 3]), &labels)),
        ("hostile-large", pair(&claims(&[1 << 10, 1 << 12, 1 << 12]), &labels)),
        ("hostile-flat", pair(&claims(&[3, 0, 0]), &labels)),
        ("hostile-labels", pair(&images, &claims(&[1 << 28]))),
        ("hostile-type", pair(b"\0\0\x0d\x03\0\0\0\x01", &labels)),
        ("hostile-count", pair(&images, &labels[..labels.len() - 1])),
        ("torn", pair(&images[..images.len() - 1], &labels)),
        ("torn-gzip", pair(&gzip(&images)[..20], &labels)),
    ]
}

pub fn datasets() -> Vec<Seed> {
    use CompressionMethod::{Deflated, Stored};
    let set = |labels| {
        let set = Dataset::new("seed", [1, 2, 2], vec![5; 8], labels).expect("two images");
        edm_zip::to_bytes(&set).expect("two images")
    };
    let (one, two) = (image(1, 2), image(3, 2));
    let named = |name: &str| zip(&[(name, &one)], Stored);
    // Zeros compress to what compresses again.
    let blank = Image { channels: 1, height: 4096, width: 4096, pixels: vec![0; 1 << 24] };
    let blank = encode(&blank).expect("a complete image");
    let bomb = [("a.png", &blank[..]), ("b.png", &blank), ("c.png", &blank), ("d.png", &blank)];
    let bombs: Vec<_> =
        bomb.into_iter().chain([("e.png", &blank[..]), ("f.png", &blank)]).collect();
    let spaces = [&vec![b' '; 1 << 22][..], b"{\"labels\":null}"].concat();
    let mut torn = set(Labels::None);
    torn.truncate(torn.len() - 10);
    vec![
        ("unlabelled", set(Labels::None)),
        ("classes", set(Labels::Classes { classes: 4, of_image: vec![3, 0] })),
        ("soft", set(Labels::Soft { width: 2, values: vec![0.25, 0.75, 1.0, 0.0] })),
        ("deflated", zip(&[("a.png", &one), ("b.png", &one)], Deflated)),
        ("labels-classes", br#"{"labels":[["0/a.png",0],["0/b.png",6]]}"#.to_vec()),
        ("labels-soft", br#"{"labels":[["0/b.png",[0,1e-3]],["0/a.png",[1,0.1]]]}"#.to_vec()),
        ("labels-null", br#"{"labels":null,"more":[{}]}"#.to_vec()),
        ("hostile-labels-mixed", br#"{"labels":[["0/a.png",0],["0/b.png",[6]]]}"#.to_vec()),
        ("hostile-labels-range", br#"{"labels":[["0/a.png",-1],["0/b.png",65536]]}"#.to_vec()),
        ("hostile-labels-nan", br#"{"labels":[["0/a.png",[1e99]],["0/b.png",[1]]]}"#.to_vec()),
        ("hostile-labels-up", br#"{"labels":[["../a.png",0],["0/b.png",1]]}"#.to_vec()),
        ("hostile-labels-twice", br#"{"labels":[["0/a.png",0],["0/a.png",1]]}"#.to_vec()),
        ("hostile-labels-deep", [b"{\"labels\":".to_vec(), b"[".repeat(300)].concat()),
        ("hostile-shapes", zip(&[("a.png", &one), ("b.png", &two)], Stored)),
        ("hostile-up", named("../a.png")),
        ("hostile-absolute", named("/a.png")),
        ("hostile-kind", named("a.jpg")),
        ("hostile-bomb", zip(&bombs, Deflated)),
        ("hostile-bomb-labels", zip(&[("dataset.json", &spaces), ("a.png", &one)], Deflated)),
        ("torn", torn),
    ]
}
