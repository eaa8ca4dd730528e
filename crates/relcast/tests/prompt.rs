//! The prompt of `relcast sql`, typed at on a terminal of its own.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{QUERY, shop};
use nix::pty::{Winsize, openpty};
use unicode_width::UnicodeWidthStr;

const ROWS: u16 = 50;
const COLUMNS: u16 = 80;
const ENTER: &str = "\r";
const TAB: &str = "\t";
const UP: &str = "\x1b[A";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
/// What stands while a training is shown.
const BAR: &str = " seeds ";

/// A prompt and its terminal; both end with their owner.
struct Prompt {
    process: Child,
    keyboard: File,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Prompt {
    /// A prompt over `shop`; none, and it says so, where no terminal can be given to it.
    fn start(shop: &Path) -> Option<Self> {
        let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = openpty(&size, None).unwrap();
        let end = || Stdio::from(terminal.slave.try_clone().unwrap());
        // Ctrl-C is for the programs whose terminal it is.
        let started = Command::new("setsid")
            .arg("--ctty")
            .arg(env!("CARGO_BIN_EXE_relcast"))
            .args(["sql", "--db", "."])
            .current_dir(shop)
            .env("TERM", "xterm")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn();
        let Ok(process) = started else {
            eprintln!("not run: there is no setsid on this machine");
            return None;
        };
        drop(terminal.slave);
        let keyboard = File::from(terminal.master);
        let mut output = keyboard.try_clone().unwrap();
        let size = |n| NonZeroU16::new(n).unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(size(ROWS), size(COLUMNS), 0)));
        let drawn = screen.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It fails once the prompt has ended.
            while let Ok(count) = output.read(&mut bytes)
                && count > 0
            {
                drawn.lock().unwrap().process(&bytes[..count]);
            }
        });
        let prompt = Self { process, keyboard, screen };
        prompt.wait_for_prompt();
        Some(prompt)
    }

    fn press(&mut self, keys: &[&str]) {
        self.keyboard.write_all(keys.concat().as_bytes()).unwrap();
    }

    /// Types at an empty prompt on an empty screen, and gives what that shows once `answer` is there.
    fn ask(&mut self, line: &str, answer: &str) -> String {
        self.clear();
        self.press(&[line, ENTER]);
        self.wait_for(answer)
    }

    fn clear(&mut self) {
        self.wait_for_prompt();
        // Ctrl-L.
        self.press(&["\x0c"]);
        self.wait_until("empty screen", |shown| shown.trim() == "relcast>");
    }

    fn contents(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Waits until the screen shows this, and gives all that it shows.
    fn wait_for(&self, text: &str) -> String {
        self.wait_until(text, |shown| shown.contains(text))
    }

    fn wait_until(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let shown = self.contents();
            if is(&shown) {
                return shown;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "no {what:?} in:\n{shown}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_for_prompt(&self) -> String {
        self.wait_until("prompt", |shown| shown.trim_end().ends_with("relcast>"))
    }

    fn wait_for_end(mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{}", self.contents());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_person_asks_and_is_answered() {
    let shop = shop();
    let Some(mut prompt) = Prompt::start(shop.path()) else { return };
    // Several lines, and several statements that come at once.
    prompt.press(&["SELECT 1 AS a,", ENTER, "  2 AS b", ENTER, "; -- done", ENTER]);
    prompt.wait_for("(1 row)");
    prompt.press(&["SELECT 3 AS c;", ENTER, "SELECT 40 + 4 AS d;", ENTER]);
    let shown = prompt.wait_for("| 44 |");
    assert!(shown.contains("| 3 |"), "{shown}");
    // History and completion.
    prompt.ask(UP, "| 44 |");
    let completed = format!("SELECT sign{TAB} FROM customers LIMIT 1;");
    prompt.ask(&completed, "| 2020-01-01T00:00:00 |");
    // Lines that are given up, half written and empty.
    prompt.clear();
    prompt.press(&["SELECT", ENTER, "1", CTRL_C]);
    prompt.wait_for_prompt();
    prompt.press(&[CTRL_C]);
    prompt.ask("SELECT 50 + 5 AS e;", "| 55 |");

    // Commands, with a semicolon too.
    prompt.ask("\\d orders;", "ordered_at");
    prompt.ask("\\d relcast.models", "is_default");
    prompt.ask("\\timing", "Timing is on.");
    prompt.ask("SELECT 60 + 6 AS f;", "Time: ");
    prompt.ask("\\nonsense", "error: no command \\nonsense");
    prompt.ask("\\?", "shows this");

    // Tables no wider than the terminal, or rows whole.
    let wide = "SELECT c.*, o.*, name || name AS n FROM customers c JOIN orders o USING (customer_id) LIMIT 1;";
    let shown = prompt.ask(wide, "shows all)");
    let frame = |line: &&str| line.starts_with('+') && line.width() <= usize::from(COLUMNS);
    assert_eq!(shown.lines().filter(frame).count(), 3, "{shown}");
    prompt.ask("\\x", "a line: on.");
    prompt.ask("SELECT name, 1 AS one FROM customers WHERE customer_id = 7;", "name | Customer 7");

    // The place of an error, behind characters of another width.
    let sql = "SELECT *\rFROM customers\rWHERE '東京' <> name AND nme = 'x';";
    let shown = prompt.ask(sql, "hint: ");
    assert!(shown.contains("line 3, column 24: no column \"nme\""), "{shown}");
    let lines: Vec<&str> = shown.lines().collect();
    let mark = lines.iter().position(|line| line.trim_end().ends_with('^')).unwrap();
    let before = |line: &str, what: &str| line.split(what).next().unwrap().width();
    assert_eq!(before(lines[mark], "^"), before(lines[mark - 1], "nme"), "{shown}");

    // What the next person finds.
    prompt.ask(
        "CREATE SOURCE s TYPE nonsense OPTIONS (url 'postgres://ana:s3cret@h/d');",
        "no sources of TYPE nonsense",
    );
    prompt.wait_for_prompt();
    prompt.press(&[CTRL_D]);
    assert!(prompt.wait_for_end().success());
    let history = fs::read_to_string(shop.path().join(".relcast/history.txt")).unwrap();
    assert!(history.contains("ana:***@h") && !history.contains("s3cret"), "{history}");
    let Some(mut prompt) = Prompt::start(shop.path()) else { return };
    prompt.press(&[UP]);
    prompt.wait_for("ana:***@h");
    prompt.press(&[CTRL_C]);
    prompt.wait_for_prompt();
    prompt.press(&["\\q", ENTER]);
    assert!(prompt.wait_for_end().success());
}

#[test]
fn what_runs_is_cancelled_and_nothing_stays() {
    let shop = shop();
    let Some(mut prompt) = Prompt::start(shop.path()) else { return };
    let long = format!("CREATE MODEL churn AS {QUERY} WITH (epochs = 10000, batch_size = 1);");
    prompt.ask(&long, BAR);
    let asked = Instant::now();
    prompt.press(&[CTRL_C]);
    prompt.wait_for("error: cancelled");
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    prompt.wait_for_prompt();
    // What still ends draws nothing over the prompt.
    std::thread::sleep(Duration::from_secs(1));
    let shown = prompt.wait_for_prompt();
    assert!(!shown.contains(BAR) && !shown.contains("^C") && !shown.contains('█'), "{shown}");
    prompt.ask("SHOW MODELS;", "(0 rows)");
    let folder = shop.path().join(".relcast/artifacts/churn");
    let asked = Instant::now();
    while folder.exists() {
        assert!(asked.elapsed() < Duration::from_secs(10), "the training left its folder");
        std::thread::sleep(Duration::from_millis(50));
    }

    // A query, too; and its session goes on.
    prompt.ask("SELECT count(*) FROM orders a, orders b, orders c, orders d", "");
    prompt.press(&["WHERE a.amount + b.amount + c.amount + d.amount < 0;", ENTER]);
    std::thread::sleep(Duration::from_millis(500));
    prompt.press(&[CTRL_C]);
    prompt.wait_for("error: cancelled");
    prompt.ask("SELECT 70 + 7 AS g;", "| 77 |");

    // A training that ends leaves its figures alone.
    let short = format!("CREATE MODEL churn AS {QUERY} WITH (epochs = 1);");
    prompt.ask(&short, " rows");
    let shown = prompt.wait_for_prompt();
    assert!(!shown.contains(BAR) && !shown.contains('█'), "{shown}");
}
