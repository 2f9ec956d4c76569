//! The part of the zip format that `numpy.savez` uses: stored entries, no encryption, below 4 GiB.
//!
//! Format: PKWARE APPNOTE 6.3. Sizes are read from the central directory, because NumPy's local
//! headers have zip64 placeholders.

/// Signatures of a local header, a central directory entry, and the end of the central directory.
const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;

const LOCAL_BYTES: usize = 30;
const CENTRAL_BYTES: usize = 46;
const END_BYTES: usize = 22;

/// Longest comment after the end record, whose length has 16 bits.
const MAX_COMMENT: usize = 0xffff;

/// 1980-01-01, the first date of the format, so that a file is a function of its arrays alone.
const DATE: u16 = 0x0021;

/// Lists the entries of an archive, in the order of its directory.
pub(super) fn entries(bytes: &[u8]) -> Result<Vec<(String, &[u8])>, String> {
    let not_a_zip = "not an .npz file, or truncated: no zip directory at its end";
    let last = bytes.len().checked_sub(END_BYTES).ok_or(not_a_zip)?;
    let end = (last.saturating_sub(MAX_COMMENT)..=last)
        .rev()
        .find(|&at| u32_at(bytes, at) == Some(END))
        .ok_or(not_a_zip)?;
    let end = Record { bytes, at: end };
    let count = end.u16(10)?;
    let mut at = end.u32(16)?;

    let mut found = Vec::new();
    let mut total = 0;
    for _ in 0..count {
        let entry = Record { bytes, at };
        if entry.u32(0)? != CENTRAL as usize {
            return Err("damaged zip directory".to_owned());
        }
        let (name, extra, comment) = (entry.u16(28)?, entry.u16(30)?, entry.u16(32)?);
        let name = entry.slice(CENTRAL_BYTES, name)?;
        let name = std::str::from_utf8(name).map_err(|_| "an entry's name is not UTF-8")?;
        let content = content(bytes, &entry, name)?;
        // Entries that share bytes could expand a small file to any size.
        total += content.len();
        if bytes.len() < total {
            return Err(format!("entry `{name}` overlaps others; do not use the file"));
        }
        found.push((name.to_owned(), content));
        at += CENTRAL_BYTES + name.len() + extra + comment;
    }
    Ok(found)
}

fn content<'a>(bytes: &'a [u8], entry: &Record<'a>, name: &str) -> Result<&'a [u8], String> {
    if entry.u16(8)? & 1 != 0 {
        return Err(format!("entry `{name}` is encrypted"));
    }
    if entry.u16(10)? != 0 {
        return Err(format!("entry `{name}` is compressed; save it with numpy.savez"));
    }
    let (packed, size, start) = (entry.u32(20)?, entry.u32(24)?, entry.u32(42)?);
    if packed != size {
        return Err(format!("entry `{name}` has two sizes, {packed} and {size}"));
    }
    if [size, start].contains(&(u32::MAX as usize)) {
        return Err(format!("entry `{name}` is larger than 4 GiB"));
    }
    let local = Record { bytes, at: start };
    if local.u32(0)? != LOCAL as usize {
        return Err(format!("entry `{name}` is missing at its position in the directory"));
    }
    let content = local.slice(LOCAL_BYTES + local.u16(26)? + local.u16(28)?, size)?;
    if crc32(content) as usize == entry.u32(16)? {
        Ok(content)
    } else {
        Err(format!("entry `{name}` is damaged: its CRC-32 does not match"))
    }
}

/// Writes an archive of stored entries.
pub(super) fn archive(entries: &[(String, Vec<u8>)]) -> Result<Vec<u8>, String> {
    let too_large = |_| "larger than 4 GiB".to_owned();
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    for (name, content) in entries {
        let start = u32::try_from(bytes.len()).map_err(too_large)?;
        let size = u32::try_from(content.len()).map_err(too_large)?;
        let name_size =
            u16::try_from(name.len()).map_err(|_| "a name of more than 64 kB".to_owned())?;
        // Version 2.0, no flags, stored, time 0, date: shared by both headers.
        let mut common = Vec::new();
        [20, 0, 0, 0, DATE].iter().for_each(|x: &u16| common.extend(x.to_le_bytes()));
        [crc32(content), size, size].iter().for_each(|x| common.extend(x.to_le_bytes()));
        common.extend(name_size.to_le_bytes());
        common.extend([0; 2]);

        bytes.extend(LOCAL.to_le_bytes());
        bytes.extend(&common);
        bytes.extend(name.as_bytes());
        bytes.extend(content);

        directory.extend(CENTRAL.to_le_bytes());
        directory.extend([20, 0]);
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(start.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let count = u16::try_from(entries.len()).map_err(|_| "more than 65535 arrays".to_owned())?;
    let start = u32::try_from(bytes.len()).map_err(too_large)?;
    let size = u32::try_from(directory.len()).map_err(too_large)?;
    bytes.extend(directory);
    bytes.extend(END.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    bytes.extend(size.to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0; 2]);
    Ok(bytes)
}

/// A header in the file, with bounds-checked reads.
struct Record<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Record<'a> {
    fn slice(&self, offset: usize, size: usize) -> Result<&'a [u8], String> {
        let start = self.at.checked_add(offset);
        let range = start.and_then(|start| Some(start..start.checked_add(size)?));
        range.and_then(|range| self.bytes.get(range)).ok_or_else(|| "truncated zip".to_owned())
    }

    fn u16(&self, offset: usize) -> Result<usize, String> {
        let bytes = self.slice(offset, 2)?;
        Ok(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
    }

    fn u32(&self, offset: usize) -> Result<usize, String> {
        let bytes = self.slice(offset, 4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|&chunk| u32::from_le_bytes(chunk))
}

/// CRC-32 of IEEE 802.3, reflected, polynomial 0xedb88320.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let mut crc = i as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
                bit += 1;
            }
            table[i] = crc;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, &byte| TABLE[(crc as u8 ^ byte) as usize] ^ crc >> 8)
}
