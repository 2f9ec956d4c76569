//! Passages: paragraphs, list items, headings and rows of tables, each as one line of text.

/// A line with its number, from 1.
pub type Line<'a> = (usize, &'a str);

/// Kind of a passage. Sentences and phrases do not cross its boundaries.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    Prose,
    Heading,
    Row,
}

/// Text with single spaces between words, and without code and link targets.
pub struct Passage {
    pub kind: Kind,
    pub text: String,
    /// Offsets of the beginnings of the file's lines, with their numbers.
    starts: Vec<(usize, usize)>,
}

/// Placeholder for a code span: a word that no phrase contains.
const CODE: &str = "`_`";

impl Passage {
    /// Joins lines.
    pub fn new(kind: Kind, lines: &[Line<'_>]) -> Self {
        let (mut text, mut starts) = (String::new(), Vec::new());
        for &(number, line) in lines {
            if !text.is_empty() {
                text.push(' ');
            }
            starts.push((text.len(), number));
            text.push_str(&line.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        let mut passage = Self { kind, text, starts };
        while let Some((at, end)) = code_span(&passage.text) {
            passage.replace(at, end, "\0");
        }
        while let Some((at, end)) = link_target(&passage.text) {
            passage.replace(at, end, "]");
        }
        while let Some(at) = passage.text.find('\0') {
            passage.replace(at, at + 1, CODE);
        }
        passage
    }

    /// Returns the number of the line that contains the character at `offset`.
    pub fn line(&self, offset: usize) -> usize {
        let begun = self.starts.iter().take_while(|&&(start, _)| start <= offset);
        begun.last().map_or(1, |&(_, number)| number)
    }

    fn replace(&mut self, at: usize, end: usize, with: &str) {
        self.text.replace_range(at..end, with);
        for (start, _) in self.starts.iter_mut().filter(|(start, _)| at < *start) {
            // A line that begins inside the replaced range now begins after it.
            *start = (*start).max(end) + with.len() + at - end;
        }
    }
}

/// Returns the range of the first code span, with its backticks.
fn code_span(text: &str) -> Option<(usize, usize)> {
    let open = text.find('`')?;
    let ticks = text[open..].bytes().take_while(|&it| it == b'`').count();
    let body = open + ticks;
    let length = text[body..].find(&text[open..body])?;
    Some((open, body + length + ticks))
}

/// Returns the range of the first link target, with the bracket before it.
fn link_target(text: &str) -> Option<(usize, usize)> {
    let at = text.find("](")?;
    text[at..].find(')').map(|length| (at, at + length + 1))
}

/// Returns the lines of a text with their numbers.
pub fn numbered(text: &str) -> Vec<Line<'_>> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line)).collect()
}

/// Returns the passages of a Markdown page, without its code blocks.
pub fn of_page(lines: &[Line<'_>]) -> Vec<Passage> {
    let (mut passages, mut pending, mut in_code) = (Vec::new(), Vec::new(), false);
    for &(number, line) in lines {
        let content = line.trim();
        let is_fence = content.starts_with("```");
        in_code ^= is_fence;
        let single = single_line(content);
        let continues = !content.is_empty() && !is_fence && !in_code && single.is_none();
        if !continues || begins_item(content) {
            passages.extend(flush(&mut pending));
        }
        if let Some(kind) = single.filter(|_| !is_fence && !in_code) {
            passages.push(Passage::new(kind, &[(number, content)]));
        } else if continues {
            pending.push((number, content));
        }
    }
    passages.extend(flush(&mut pending));
    passages
}

fn flush(pending: &mut Vec<Line<'_>>) -> Option<Passage> {
    let lines = std::mem::take(pending);
    (!lines.is_empty()).then(|| Passage::new(Kind::Prose, &lines))
}

fn single_line(content: &str) -> Option<Kind> {
    if content.starts_with('|') {
        return Some(Kind::Row);
    }
    let title = content.trim_start_matches('#');
    (title.len() < content.len() && title.starts_with(' ')).then_some(Kind::Heading)
}

fn begins_item(content: &str) -> bool {
    let digits = content.bytes().take_while(u8::is_ascii_digit).count();
    ["- ", "* ", "+ "].iter().any(|it| content.starts_with(it))
        || (digits > 0 && [". ", ") "].iter().any(|it| content[digits..].starts_with(it)))
}
