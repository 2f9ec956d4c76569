//! A process that runs a case on demand.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

/// A running subject or peer. It is idle between its turns.
pub struct Session {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    name: String,
}

/// Times of one iteration.
#[derive(Clone, Copy, Debug)]
pub struct Iteration {
    /// Elapsed seconds.
    pub wall: f64,
    /// Seconds of processor time of all threads, if the process reports them.
    pub cpu: Option<f64>,
}

impl Session {
    /// Starts the command; errors refer to it as `name`.
    ///
    /// # Errors
    ///
    /// If the command cannot be started.
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

    /// Waits until the process is ready.
    ///
    /// # Errors
    ///
    /// If the process ended, or printed something else.
    pub fn wait_ready(&mut self) -> anyhow::Result<()> {
        let line = self.line()?;
        ensure!(line["ready"] == true, "{}: printed {line}, expected `ready`", self.name);
        Ok(())
    }

    /// Runs the case once.
    ///
    /// # Errors
    ///
    /// If the process ended or printed something else.
    pub fn go(&mut self) -> anyhow::Result<Iteration> {
        self.send("go")?;
        let line = self.line()?;
        let Some(wall) = line["wall"].as_f64() else {
            bail!("{}: printed {line}, expected a time", self.name);
        };
        Ok(Iteration { wall, cpu: line["cpu"].as_f64() })
    }

    /// Ends the process; returns the peak of its resident memory in bytes.
    ///
    /// # Errors
    ///
    /// If the process failed.
    pub fn end(mut self) -> anyhow::Result<Option<f64>> {
        self.send("end")?;
        let peak = self.line()?["peak"].as_f64();
        let status = self.child.wait().with_context(|| self.name.clone())?;
        ensure!(status.success(), "{}: ended with {status}", self.name);
        Ok(peak)
    }

    fn send(&mut self, word: &str) -> anyhow::Result<()> {
        writeln!(self.stdin, "{word}")
            .and_then(|()| self.stdin.flush())
            .with_context(|| format!("{}: closed its input", self.name))
    }

    fn line(&mut self) -> anyhow::Result<Value> {
        let mut text = String::new();
        let read = self.stdout.read_line(&mut text).with_context(|| self.name.clone())?;
        ensure!(read != 0, "{}: ended early; its message is above", self.name);
        serde_json::from_str(&text)
            .with_context(|| format!("{}: printed `{}`", self.name, text.trim()))
    }
}

impl Drop for Session {
    /// Kills a process that was not ended because another one failed.
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
    fn session_exchanges_three_lines() {
        let mut session = shell(
            r#"echo '{"ready":true}'; read a; echo '{"wall":0.5,"cpu":1}'; read b; echo "{\"peak\":7}""#,
        );
        session.wait_ready().unwrap();
        let iteration = session.go().unwrap();
        assert_eq!((iteration.wall, iteration.cpu), (0.5, Some(1.0)));
        assert_eq!(session.end().unwrap(), Some(7.0));
    }

    #[test]
    fn names_process_that_ends_early() {
        let error = shell("exit 3").wait_ready().unwrap_err().to_string();
        assert!(error.contains("script"), "{error}");
        let error = format!("{:#}", shell("echo hello").wait_ready().unwrap_err());
        assert!(error.contains("hello"), "{error}");
    }
}
