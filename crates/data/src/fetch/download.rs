//! Downloads over HTTP, of bounded size, with timeouts.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::time::Duration;

use ureq::Agent;

use crate::Error;

/// Timeout of opening a connection, and of each read from a server.
const SILENCE: Duration = Duration::from_secs(20);
/// Bytes between two reports.
const CHUNK: usize = 1 << 16;

/// Makes a client that uses the proxy from the environment, if there is one.
pub(super) fn agent() -> Agent {
    Agent::config_builder()
        .timeout_connect(Some(SILENCE))
        .timeout_resolve(Some(SILENCE))
        .timeout_recv_response(Some(SILENCE))
        .timeout_per_read(Some(SILENCE))
        .build()
        .new_agent()
}

/// Downloads `url` to a new file of at most `limit` bytes.
///
/// `report` receives the bytes so far, and the total if the server sends it.
pub(super) fn download(
    agent: &Agent,
    url: &str,
    path: &Path,
    limit: u64,
    report: &mut dyn FnMut(u64, Option<u64>),
) -> Result<(), Error> {
    let unreadable = |source| Error::Unreadable { file: url.to_owned(), source };
    let mut response = agent
        .get(url)
        .call()
        .map_err(|error| Error::Unreachable { url: url.to_owned(), source: Box::new(error) })?;
    let total = response.body().content_length();
    if total.is_some_and(|it| limit < it) {
        return Err(Error::TooLarge { file: url.to_owned(), limit });
    }
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mut file = BufWriter::new(File::create(path).map_err(io)?);
    let mut reader = response.body_mut().as_reader();
    let (mut chunk, mut bytes) = (vec![0; CHUNK], 0u64);
    loop {
        let read = match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        bytes += read as u64;
        if limit < bytes {
            return Err(Error::TooLarge { file: url.to_owned(), limit });
        }
        file.write_all(&chunk[..read]).map_err(io)?;
        report(bytes, total);
    }
    file.into_inner().map_err(|error| io(error.into_error()))?.sync_all().map_err(io)
}
