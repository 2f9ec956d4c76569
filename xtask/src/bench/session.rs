//! A process that runs a case on demand.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

/// A started subject or peer: idle, but for its turns.
pub struct Session {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    name: String,
}

/// One iteration.
#[derive(Clone, Copy, Debug)]
pub struct Iteration {
    /// Seconds by the clock.
    pub wall: f64,
    /// Seconds of processor time of all threads, where the process could tell.
    pub cpu: Option<f64>,
}

impl Session {
    /// Starts the command; `name` is what errors call it.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{name}: cannot start {:?}", command.get_program()))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("{name}: started without pipes");
        };
        Ok(Self { child, stdin, stdout: BufReader::new(stdout), name: name.to_owned() })
    }

    /// Waits until it is prepared.
    ///
    /// # Errors
    ///
    /// If it ended instead.
    pub fn wait_ready(&mut self) -> anyhow::Result<()> {
        let line = self.line()?;
        ensure!(line["ready"] == true, "{}: said {line} instead of being ready", self.name);
        Ok(())
    }

    /// Runs the case once.
    ///
    /// # Errors
    ///
    /// If the process ended or printed something else.
    pub fn go(&mut self) -> anyhow::Result<Iteration> {
        self.tell("go")?;
        let line = self.line()?;
        let Some(wall) = line["wall"].as_f64() else {
            bail!("{}: said {line} instead of a time", self.name);
        };
        Ok(Iteration { wall, cpu: line["cpu"].as_f64() })
    }

    /// Ends it; returns the peak of its resident memory in bytes.
    ///
    /// # Errors
    ///
    /// If the process failed.
    pub fn end(mut self) -> anyhow::Result<Option<f64>> {
        self.tell("end")?;
        let peak = self.line()?["peak"].as_f64();
        let status = self.child.wait().with_context(|| self.name.clone())?;
        ensure!(status.success(), "{}: ended with {status}", self.name);
        Ok(peak)
    }

    fn tell(&mut self, word: &str) -> anyhow::Result<()> {
        writeln!(self.stdin, "{word}")
            .and_then(|()| self.stdin.flush())
            .with_context(|| format!("{}: takes no more input", self.name))
    }

    fn line(&mut self) -> anyhow::Result<Value> {
        let mut text = String::new();
        let read = self.stdout.read_line(&mut text).with_context(|| self.name.clone())?;
        ensure!(read != 0, "{}: ended; its own message is above", self.name);
        serde_json::from_str(&text)
            .with_context(|| format!("{}: said `{}`", self.name, text.trim()))
    }
}

impl Drop for Session {
    /// A process that was not ended, because another failed, is not left behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Session {
        Session::start("script", Command::new("sh").args(["-c", script])).unwrap()
    }

    #[test]
    fn a_session_speaks_three_lines() {
        let mut session = shell(
            r#"echo '{"ready":true}'; read a; echo '{"wall":0.5,"cpu":1}'; read b; echo "{\"peak\":7}""#,
        );
        session.wait_ready().unwrap();
        let iteration = session.go().unwrap();
        assert_eq!((iteration.wall, iteration.cpu), (0.5, Some(1.0)));
        assert_eq!(session.end().unwrap(), Some(7.0));
    }

    #[test]
    fn a_process_that_ends_early_is_named() {
        let error = shell("exit 3").wait_ready().unwrap_err().to_string();
        assert!(error.contains("script"), "{error}");
        let error = format!("{:#}", shell("echo hello").wait_ready().unwrap_err());
        assert!(error.contains("hello"), "{error}");
    }
}
