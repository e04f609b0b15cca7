//! `seawall graph import|export`: whole graphs, a piece at a time.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use seawall_graph::api::http::wire::{End, Imported, Line};
use seawall_policy::retry::{self, Backoff, Next};
use seawall_policy::{Outcome, Rng};

use super::call::{Graph, part, read, refused};
use crate::cmd::terminal::plain;
use crate::exit::Failure;

/// Lines asked for at a time.
const EXPORT_PAGE: u32 = 10_000;
/// Lines sent at a time: far fewer than are done within a deadline of seconds.
const IMPORT_LINES: usize = 2000;
/// Bytes sent at a time, where lines are long; one line may be longer.
const IMPORT_BYTES: usize = 1 << 20;
/// Longest line of an import file; the server may take less.
const LINE_MAX: u64 = 64 << 20;
/// Rejected lines shown in full; all are counted.
const SHOWN_MAX: u64 = 20;

pub(super) async fn export(graph: &Graph, file: Option<&Path>) -> Result<ExitCode, Failure> {
    let Some(file) = file else {
        let told = write_all(graph, &mut std::io::stdout().lock()).await?;
        return finish(told);
    };
    let failed = |e: std::io::Error| Failure::Failed(format!("cannot write {}: {e}", file.display()));
    // Whoever finds the file may take it for the whole.
    let half = PathBuf::from(format!("{}.part", file.display()));
    let mut out = BufWriter::new(File::create(&half).map_err(failed)?);
    let told = write_all(graph, &mut out).await?;
    let whole = out.into_inner().map_err(|e| failed(e.into_error()))?;
    whole.sync_all().and_then(|()| fs::rename(&half, file)).map_err(failed)?;
    finish(told)
}

fn finish(told: Option<End>) -> Result<ExitCode, Failure> {
    if let Some(End { objects, associations }) = told {
        eprintln!("exported {objects} objects, {associations} associations");
    }
    Ok(ExitCode::SUCCESS)
}

/// Nothing when nobody reads any further, as with `| head`.
async fn write_all(graph: &Graph, out: &mut impl Write) -> Result<Option<End>, Failure> {
    let mut told = End::default();
    let mut after: Option<String> = None;
    loop {
        let from = after.as_deref().map(|after| format!("&after={}", part(after))).unwrap_or_default();
        let path = format!("/v1/export?limit={EXPORT_PAGE}{from}");
        let answer = graph.send(Method::GET, &path, None, None).await?;
        if !answer.status().is_success() {
            return Err(refused(&answer));
        }
        let body = answer.body();
        let lines = body.strip_suffix(b"\n").unwrap_or(body);
        let start = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let (lines, last) = lines.split_at(start);
        let broke_off = || Failure::Failed("the export broke off; try again".to_owned());
        let (objects, associations) = count(lines);
        (told.objects, told.associations) = (told.objects + objects, told.associations + associations);
        let next = match serde_json::from_slice::<Line>(last) {
            Ok(Line::Next(next)) => Some(next),
            Ok(Line::End(_)) => None,
            _ => return Err(broke_off()),
        };
        let end = if next.is_none() { end_line(told)? } else { Vec::new() };
        match out.write_all(lines).and_then(|()| out.write_all(&end)).and_then(|()| out.flush()) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::BrokenPipe => return Ok(None),
            Err(e) => return Err(Failure::Failed(format!("cannot write the export: {e}"))),
        }
        if next.is_none() {
            return Ok(Some(told));
        }
        after = next;
    }
}

/// Objects and associations among lines as the server writes them.
fn count(lines: &[u8]) -> (u64, u64) {
    let of = |begin: &[u8]| {
        let lines = lines.split(|byte| *byte == b'\n');
        lines.filter(|line| line.starts_with(begin)).count() as u64
    };
    (of(b"{\"object\""), of(b"{\"association\""))
}

/// The server told of each page; a file says it once.
fn end_line(told: End) -> Result<Vec<u8>, Failure> {
    let mut line = serde_json::to_vec(&Line::End(told)).map_err(|e| Failure::Internal(e.to_string()))?;
    line.push(b'\n');
    Ok(line)
}

pub(super) async fn import(graph: &Graph, file: &Path) -> Result<ExitCode, Failure> {
    let failed = |e: std::io::Error| Failure::Failed(format!("cannot read {}: {e}", file.display()));
    let is_stdin = file == Path::new("-");
    let (source, size): (Box<dyn Read>, u64) = if is_stdin {
        (Box::new(std::io::stdin()), 0)
    } else {
        let source = File::open(file).map_err(failed)?;
        let size = source.metadata().map_err(failed)?.len();
        (Box::new(source), size)
    };
    let bar = progress(size);
    // Of the waits before lines are sent again.
    let mut rng = Rng::new(u64::from(std::process::id()));
    let mut source = Pieces { source: BufReader::new(source), line: 0 };
    let mut told = Imported::default();
    while let Some(piece) = source.next().map_err(failed)? {
        let size: usize = piece.iter().map(|(_, line)| line.len()).sum();
        send(graph, piece, &mut told, &bar, &mut rng).await?;
        bar.inc(size as u64);
    }
    bar.finish_and_clear();
    let Imported { objects, present, associations, overwritten, rejected, .. } = told;
    graph.print(&told, || {
        format!(
            "imported {objects} objects and {associations} associations; there already: {present} objects, \
             {overwritten} associations; rejected {rejected}"
        )
    })?;
    Ok(if rejected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Lines with their numbers.
type Piece = Vec<(u64, Vec<u8>)>;

/// Sends lines until each is done or refused for good.
async fn send(
    graph: &Graph,
    piece: Piece,
    told: &mut Imported,
    bar: &ProgressBar,
    rng: &mut Rng,
) -> Result<(), Failure> {
    let (policy, mut left, mut attempt, mut waited) = (again_policy(), piece, 1, Duration::ZERO);
    while !left.is_empty() {
        let body: Vec<u8> = left.iter().flat_map(|(_, line)| line.iter().copied()).collect();
        let body = Some(("application/x-ndjson", Bytes::from(body)));
        let answer = graph.send(Method::POST, "/v1/import", None, body).await?;
        // Doing a line twice is harmless.
        let next = policy.next(attempt, Outcome::Overloaded, true, waited, Duration::MAX, rng);
        let after = match next {
            Next::Again { after, .. } | Next::Elsewhere { after, .. } => Some(after),
            Next::Stop(_) => None,
        };
        let is_shed = answer.status() == StatusCode::SERVICE_UNAVAILABLE && after.is_some();
        if !is_shed {
            left = note(&left, read(&answer)?, told, after.is_some(), bar);
        }
        let Some(after) = after.filter(|_| !left.is_empty()) else { break };
        tokio::time::sleep(after).await;
        (attempt, waited) = (attempt + 1, waited + after);
    }
    Ok(())
}

/// 200 ms doubling to 3 s, for as long as a lease may take to pass from a dead leader to the next, several times over.
fn again_policy() -> retry::Policy {
    let backoff =
        Backoff { base: Duration::from_millis(200), max: Duration::from_secs(3), ..Backoff::default() };
    retry::Policy {
        attempts: retry::ATTEMPTS_MAX,
        backoff,
        within: Duration::from_secs(60),
        ..Default::default()
    }
}

/// What became of lines; those that are worth sending again.
fn note(left: &Piece, done: Imported, told: &mut Imported, may_again: bool, bar: &ProgressBar) -> Piece {
    told.objects += done.objects;
    told.present += done.present;
    told.associations += done.associations;
    told.overwritten += done.overwritten;
    let (mut again, mut shown) = (Vec::new(), told.rejected);
    // The server tells of as many as are sent at a time.
    for problem in &done.problems {
        let at = problem.line.checked_sub(1).and_then(|at| usize::try_from(at).ok());
        let Some(line) = at.and_then(|at| left.get(at)) else { continue };
        if problem.again && may_again {
            again.push(line.clone());
            continue;
        }
        shown += 1;
        if shown <= SHOWN_MAX {
            bar.suspend(|| {
                eprintln!("line {}: {} ({})", line.0, plain(&problem.message), plain(&problem.code));
            });
        }
    }
    told.rejected += done.rejected.saturating_sub(again.len() as u64);
    again
}

/// A file as pieces of whole lines.
struct Pieces<R> {
    source: R,
    line: u64,
}

impl<R: BufRead> Pieces<R> {
    fn next(&mut self) -> std::io::Result<Option<Piece>> {
        let (mut piece, mut bytes) = (Vec::new(), 0);
        while piece.len() < IMPORT_LINES && bytes < IMPORT_BYTES {
            let mut line = Vec::new();
            if (&mut self.source).take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            self.line += 1;
            let is_whole = line.last() == Some(&b'\n');
            if !is_whole {
                if line.len() as u64 == LINE_MAX {
                    let why = format!("line {} is longer than {LINE_MAX} bytes", self.line);
                    return Err(std::io::Error::new(ErrorKind::InvalidData, why));
                }
                line.push(b'\n');
            }
            bytes += line.len();
            // The server numbers what it is sent.
            if !line.trim_ascii().is_empty() {
                piece.push((self.line, line));
            }
        }
        Ok(if bytes == 0 { None } else { Some(piece) })
    }
}

/// A bar on a terminal, nothing elsewhere.
fn progress(size: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let (size, template) = match size {
        0 => (None, "{bytes} {bytes_per_sec}"),
        size => (Some(size), "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}"),
    };
    let bar = ProgressBar::with_draw_target(size, ProgressDrawTarget::stderr());
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_into_pieces_of_whole_lines_with_their_numbers() {
        let text = "a\n\nb\n".repeat(IMPORT_LINES);
        let mut pieces = Pieces { source: text.as_bytes(), line: 0 };
        let first = pieces.next().unwrap().unwrap();
        assert_eq!((first.len(), &first[1]), (IMPORT_LINES, &(3, b"b\n".to_vec())));
        let second = pieces.next().unwrap().unwrap();
        assert_eq!((second.len(), second[0].0), (IMPORT_LINES, 3001));
        assert!(pieces.next().unwrap().is_none());
        let mut odd = Pieces { source: &b"\n\nx"[..], line: 0 };
        assert_eq!(odd.next().unwrap(), Some(vec![(3, b"x\n".to_vec())]));
    }

    #[test]
    fn lines_are_counted_by_what_they_are() {
        let lines = b"{\"object\":{}}\n{\"association\":{}}\n{\"association\":{}}\n";
        assert_eq!(count(lines), (1, 2));
        assert_eq!(count(b""), (0, 0));
    }
}
